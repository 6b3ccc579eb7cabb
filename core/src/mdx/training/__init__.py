"""What a method may ask of a run while it trains."""
