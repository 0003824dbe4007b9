"""The commands of `kpi-stream`, by what they are for; `stream/cli.py` puts them together."""
