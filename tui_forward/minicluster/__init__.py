"""The embedded cluster: a small Kubernetes on loopback, every hop a real server.

API server (`apiserver`, TLS) → kubelet (`kubelet`, TLS with client certificates) → CRI over
gRPC on a unix socket (`cri`) → streaming server of the runtime (`runtime`) → the pod.

Each node is two processes, `python -m tui_forward.minicluster.kubelet --config FILE` and
`python -m tui_forward.minicluster.runtime --config FILE`. FILE is JSON and described in
`config`; `lifecycle` says how a hop begins and ends, `control` how it is disturbed.

A kubelet or runtime that ends, by SIGTERM or worse, leaves its pods alone, as the real ones do:
pods belong to a third process (`runtime.shim`) that ends, with every pod, when the supervisor
(the parent of the first runtime process) is gone, or when the runtime's control socket is asked
to `end-pods`. The next process with the same configuration finds them again.
"""
