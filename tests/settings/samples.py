"""A valid settings file."""

GOOD = """\
# Mine.
theme = "forward-light"  # daylight

[keys]
"forwards.stop" = "ctrl+x,delete"
app.help = "f2"  # without quotes
"""
