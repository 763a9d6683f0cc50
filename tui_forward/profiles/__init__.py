"""Profiles: forwards that belong together, kept in YAML files. Pure, but for `store` and `trust`.

`profile` says what there is in one, `reading` makes one of a text and tells what is wrong with it
by line and column, `schema` describes the files to editors, `store` knows where they are,
`trust` remembers which of somebody else's were agreed to, and `plan` compares one with what is on.
`importing` makes one of what other programs keep, `exporting` the other way round.
"""
