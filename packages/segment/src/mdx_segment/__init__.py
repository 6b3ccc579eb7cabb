"""Slice-wise 2-D segmentation: a residual U-Net, its loss, its training on one site, and inference on volumes."""
