"""The kubelet of an embedded node: API client, CRI client and HTTPS server.

It watches the pods assigned to its node (`kubelet`), makes the runtime match them
(`pod_worker`), reports their status (`pod_worker`), and serves port-forwards and logs to
the API server (`server`). It uses the runtime through CRI only and works with a real containerd.
"""
