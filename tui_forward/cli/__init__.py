"""The command line: arguments in, data on stdout, messages on stderr, an exit code.

Only this package knows exit codes. Commands see `model` and `session.Session`; a command imports
what is expensive to import only when it runs.
"""
