"""A real Apache Kafka for tests, without Docker."""
