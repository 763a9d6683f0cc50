"""Settings of the user, `settings.toml`, for every front end.

`parser` reads the file and reports problems by line, `writer` changes one setting and preserves
the rest, `settings.schema.json` describes the file to editors. Only the dashboard can check which
themes and key bindings exist.
"""
