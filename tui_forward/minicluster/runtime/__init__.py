"""The embedded container runtime: CRI services, streaming server, shim and pods.

`cri_service` and `image_service` answer the kubelet, `streaming_server` serves the port-forwards
that the kubelet relays, `shim` is the process that owns the pods, `apps` are the applications in
the pods.
"""
