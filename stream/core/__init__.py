"""The KPI engine: pure functions and state, with no Kafka, HTTP, clock or randomness."""
