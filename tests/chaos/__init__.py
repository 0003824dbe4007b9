"""Workers, broker and network fail at random under load; a checker judges the history.

`make chaos` is the long run, `test_chaos.py` a short one. Everything at random comes from one
seed, which is printed.
"""
