"""Ways in which studies lie on a disk: BIDS, folders, published data sets; tables that are joined to them."""
