"""What earlier versions stored: a file per format, which today's code has to read.

`python -m tests.kafka.stored` writes one of today's format; it is committed when a format is new
and never changed after that.
"""
