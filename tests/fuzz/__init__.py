"""What reads the outside world, fed with anything: no exception but the documented one.

`targets.py` has one function per reader; Hypothesis calls them in `test_targets.py`, and atheris,
guided by coverage, by `python -m tests.fuzz` (`make fuzz`) and for seconds in `test_search.py`.
"""
