"""The embedded container runtime: CRI service, streaming server, pods.

`service` answers the kubelet, `streaming` the port-forwards that the kubelet relays, `shim` is the
process that owns the pods, `apps` is what runs in them.
"""
