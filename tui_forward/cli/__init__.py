"""The command line: what a person types, and what comes back on stdout and stderr.

Stdout is data, stderr is talk. Only this package knows exit codes. Commands see `model` and
`session.Session`; whatever is expensive to import is imported by the command that needs it.
"""
