"""A made-up segmentation method on slices with neighbours, pairs of slices and shuffled tiles."""
