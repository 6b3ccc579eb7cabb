"""Simulated scanners with known truth: real anatomy, MR physics, ordinary NIfTI files and a table."""
