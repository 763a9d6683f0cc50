"""`python -m tests.bench` (or `make bench`): this program beside kubectl and kr8s.

All of them forward to the same pod of the same embedded cluster in the same run, taking
turns, so that what the machine does at the moment hits them alike. Absolute figures are
the machine's; the ratios are what counts.
"""
