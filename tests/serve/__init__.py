"""Tests of what people and Prometheus look at."""
