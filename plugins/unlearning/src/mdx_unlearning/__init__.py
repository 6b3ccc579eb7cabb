"""Unlearning scanner bias (Dinsdale, Jenkinson and Namburete, MICCAI 2020)."""
