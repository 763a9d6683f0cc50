"""The kubelet of an embedded node: an API client above, a CRI client below, a server beside.

It watches the pods assigned to its node (`source`), makes the runtime match them (`worker`),
reports what became of them (`status`), and serves port-forwards and logs to the API server
(`server`). It knows the runtime through CRI only and works with a real containerd as well.
"""
