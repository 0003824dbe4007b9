"""The Grafana dashboards as code, over the KPI catalogue: `make boards` writes them anew."""
