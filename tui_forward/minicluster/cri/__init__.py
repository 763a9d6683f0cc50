"""The Container Runtime Interface: messages (`api_pb2`), a typed client, a typed server.

Kubelet and runtime meet only here. The subset in `api.proto` keeps the names and numbers of
runtime.v1, so either side can be swapped for a real one.
"""
