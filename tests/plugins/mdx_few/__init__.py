"""A made-up semi-supervised segmentation method that may start from weights."""
