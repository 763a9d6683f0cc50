"""What the cluster offers, as the dashboard lists it: the filter's language, entries, rows.

Pure: no widget, no clock, no session.
"""
