"""The programs that the peers run, each as its system's own manual would write it.

All compute the same: the sums behind the average handle time and the resolution rate (handle time
and how many contacts; resolved and how many of them said so) per agent, over one hopping window of
300 s by 60 s, with a minute of grace, delivered at least once. They are processes of their own and
import nothing of the product; some run in a virtual environment of their own.
"""
