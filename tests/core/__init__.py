"""Tests of the core, without Kafka, HTTP, clock or randomness."""
