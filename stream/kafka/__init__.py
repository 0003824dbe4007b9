"""The shell around the engine: Faust, Kafka, delivery and recovery."""
