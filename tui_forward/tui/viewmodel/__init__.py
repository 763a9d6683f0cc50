"""Pure functions and types from the model to rows: entries, filters, lists, cells.

No Textual, no clock, no session.
"""
