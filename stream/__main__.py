"""`python -m stream` is `kpi-stream`."""

from stream.cli import main

main()
