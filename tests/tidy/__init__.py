"""The repository keeps its own house rules."""
