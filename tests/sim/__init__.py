"""The simulation: what it covers, that it replays, and the planted bugs it finds."""
