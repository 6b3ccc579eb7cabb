"""Learn to Ignore: domain adaptation for multi-site MRI analysis (Wolleb et al., MICCAI 2022)."""
