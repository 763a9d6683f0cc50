"""Forwards: tunnels and their pool, connections, listeners, and the supervisor over them.

Knows no kubeconfig and no cluster: it dials through `transport.access.Access` and asks a
`targets.TargetResolver` which pod is meant. `session` puts these together.
"""
