"""Forwards: tunnels and their pool, connections, listeners, and the engine above them.

Independent of kubeconfig and cluster state: dials through `transport.access.ServerAccess`, and
receives the pod to forward to from a `context.TargetWatch`. `session` connects these.
"""
