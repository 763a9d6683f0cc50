"""Profiles: forwards that belong together, in YAML files. Pure, except for `store` and `trust`.

`profile` has the types, `parser` and `serializer` convert text and report problems by line and
column, `profile.schema.json` describes the files to editors, `store` finds and writes files,
`trust` records which profiles of others the user trusts, and `plan` compares a profile with the
active forwards. `importers` and `exporters` convert the formats of other programs.
"""
