"""From cases to batches: reading and preprocessing, views, samplers, the cache."""
