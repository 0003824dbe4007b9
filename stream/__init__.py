"""kpi-stream: exact, fair, live KPIs for contact centres, on Faust and Kafka."""

__version__ = "0.1.0"
