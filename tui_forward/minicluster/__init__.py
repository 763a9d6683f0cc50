"""The embedded cluster: a small Kubernetes on loopback whose components are real servers.

API server (`apiserver`, TLS) → kubelet (`kubelet`, TLS with client certificates) → CRI over gRPC
on a Unix socket (`cri`) → streaming server of the runtime (`runtime`) → the pod.

The supervisor (`python -m tui_forward.minicluster`, `supervisor`) starts every component as a
process, writes its stderr to `DIR/logs/<component>.log`, restarts it on request with the same
port, certificates and state, and passes faults to it. Components are forked by `fork_server`, a
process that has imported what they need; its end is the end of the cluster. `control_socket`
describes the supervisor's control socket and lists all faults. Of the other packages, this one
imports only `model`, `errors` and `protocol`.

Control plane
-------------
`python -m tui_forward.minicluster.control_plane --config FILE` (`config.ApiServerConfig`) runs the
API server, the scheduler and the controllers in one process, as k3s does. It ends on SIGTERM, on
SIGINT and at the end of its stdin, a pipe whose other end the supervisor holds
(`process_lifecycle`). All other components are started with such a pipe as well.

It connects to a kubelet at `status.addresses[InternalIP]` and
`status.daemonEndpoints.kubeletEndpoint.Port` of the Node with a client certificate of the
cluster's authority (`O=system:masters, CN=kube-apiserver-kubelet-client`). A kubelet creates its
Node unless it exists, reports `nodes/<name>/status`, lists and watches pods with
`fieldSelector=spec.nodeName=<name>`, patches or puts `pods/<name>/status`, creates events, and ends
a graceful deletion with `DELETE` and `gracePeriodSeconds=0`; the subject of its certificate is
`O=system:nodes, CN=system:node:<name>`. Pod images name the runtime's applications
(`local/http-site`, `local/echo`, …), which `args` and `env` configure; see `sample_workloads`.

Node components
---------------
Each node has two processes, `python -m tui_forward.minicluster.kubelet --config FILE` and
`python -m tui_forward.minicluster.runtime --config FILE`. FILE is JSON, decoded into
`kubelet.config.KubeletConfig` or `runtime.config.RuntimeConfig`, which describe all keys.

Both accept `control` (path of their control socket), print one ready line on stdout, and end on
SIGTERM and at the end of stdin (`process_lifecycle`). Pods survive the end of both, as with a real
kubelet or containerd: pods belong to a third process, `runtime.shim`, which the first runtime
process forks. The next runtime with the same `state_dir` reconnects to it and its pods. The shim
ends with all its pods when its owner exits (`owner_pid`; by default the parent of the runtime that
started it), or when the runtime's control socket receives `end-pods`; the reply follows when all
processes of the pods have exited.
"""
