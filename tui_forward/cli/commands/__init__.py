"""One module per command: `tui-forward NAME` is `NAME.py`."""
