"""The published schemas against what the product really reads and writes."""
