"""Learning that ignores the site: heads, losses, updates, samplers and the probe that checks it."""
