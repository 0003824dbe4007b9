"""Tests of the shell, most of them on a real Apache Kafka."""
