"""``mdx data prepare``: raw MR scans of the head made fit for methods that assume corrected, registered brains."""
