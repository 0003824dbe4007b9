"""Throughput, measured: systems take turns on one topic of one broker. `make bench` runs it.

`workload.py` says what is in the topic, `systems/` has one module per system, `meter.py` measures
one of them at work, `rounds.py` lets them take turns and `report.py` tells the result. Another
workload is an entry in `WORKLOADS`; another system is a module and an entry in `SYSTEMS`.
"""
