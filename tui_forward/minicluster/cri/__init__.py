"""The Container Runtime Interface: messages (`api_pb2`), a typed client, a typed server.

The only interface between kubelet and runtime. The subset in `api.proto` keeps the names and
numbers of runtime.v1, so either side can be replaced by a real one.
"""
