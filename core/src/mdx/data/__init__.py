"""Tables of cases, images on disk, and what stands between them and a batch."""
