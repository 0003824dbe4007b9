"""The production code under fire, on a Kafka, a network and a clock that follow from one seed."""
