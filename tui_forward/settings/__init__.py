"""The person's settings file, `settings.toml`: what there is to set, for every front end.

`reading` makes settings of it and tells what is wrong by line, `writing` changes one of them and
leaves the rest as it is, `settings.schema.json` describes the file to editors. Whether there is
such a theme or such a key, only the dashboard knows.
"""
