"""The benchmark: systems take turns on one topic of one broker. `make bench` runs it.

`workloads/` has one kind of workload to a module, `systems/` one system to a module and `apps/`
the programs that the peers run; `traffic.py` says what is in the topics and `load.py` sends it in
real time; `cores.py` says which core who runs on, `meter.py` measures a system at work, `turns.py`
gives it a turn, and `report.py` and `readme.py` tell the result.
"""
