"""The embedded container runtime: CRI services, streaming server, shim and pods.

`cri_service` serves the kubelet, `streaming_server` serves the port-forwards
that the kubelet relays, `shim` is the process that owns the pods, `apps` are the applications in
the pods.
"""
