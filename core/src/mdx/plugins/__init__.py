"""Manifests, their discovery, the hooks, and the import of what a manifest names."""
