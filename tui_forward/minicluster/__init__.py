"""The embedded cluster: a small Kubernetes on loopback, every hop a real server.

API server (`apiserver`, TLS) → kubelet (`kubelet`, TLS with client certificates) → CRI over
gRPC on a unix socket (`cri`) → streaming server of the runtime (`runtime`) → the pod.

The supervisor (`python -m tui_forward.minicluster`, see `cluster`) starts every hop as a
process of its own, keeps its stderr in `DIR/logs/<hop>.log`, restarts it on request with the
same port, certificates and state, and passes faults on to it. Its control socket and the list of
all faults are described in `control`. Nothing here imports the rest of the program except
`model`, `errors` and `protocol`.

Control plane
-------------
`python -m tui_forward.minicluster.control_plane --config FILE` (`config.ApiServerConfig`) is the
API server together with the scheduler and the controllers, one process as in k3s. It ends on
SIGTERM, on SIGINT and when its stdin reaches its end: the supervisor holds the other end of that
pipe (`process_lifecycle`). All other components are started with such a pipe as well.

It reaches a kubelet at `status.addresses[InternalIP]` and
`status.daemonEndpoints.kubeletEndpoint.Port` of the Node with a client certificate of the
cluster's authority (`O=system:masters, CN=kube-apiserver-kubelet-client`). A kubelet may create
its Node or find it already there, reports `nodes/<name>/status`, lists and watches pods with
`fieldSelector=spec.nodeName=<name>`, patches or puts `pods/<name>/status`, creates events, and ends
a graceful deletion with `DELETE` and `gracePeriodSeconds=0`; its certificate says
`O=system:nodes, CN=system:node:<name>`. Pod images name the runtime's applications
(`local/http-site`, `local/echo`, …), `args` and `env` configure them; `workloads` uses them.

Node processes
--------------
Each node is two processes, `python -m tui_forward.minicluster.kubelet --config FILE` and
`python -m tui_forward.minicluster.runtime --config FILE`; FILE is JSON, decoded into
`kubelet.config.KubeletConfig` and `runtime.config.RuntimeConfig`, where every key is described.
The keys without a default:

- kubelet: `node` (name), `state_dir`, `server` (URL of the API server), `ca`, `client_cert`,
  `client_key` (paths; towards the API server), `serving_cert`, `serving_key`, `client_ca` (paths;
  of the kubelet's own server), `runtime_endpoint` (`unix:///…`)
- runtime: `name`, `state_dir`, `listen` (path of the unix socket)

Both take `control` (path of a unix socket for faults), print one ready line on stdout when they
serve, and end on SIGTERM and when their stdin ends (`lifecycle`). However they end, pods survive
it, as they survive a real kubelet or containerd: pods belong to a third process, `runtime.shim`,
which the first runtime process starts. The next runtime with the same `state_dir` finds it, and
its pods, again. The shim ends with every pod as soon as its owner is gone (`owner_pid`; by default
the parent of the runtime that started it), or when the runtime's control socket is asked to
`end-pods`, which answers when no process of a pod is left.

Control sockets speak one JSON object per line, one answer per request:
`{"fault": "crash", "namespace": "shop", "pod": "web-1"}` → `{"ok": true}`, or
`{"ok": false, "error": "…"}`. The faults are listed in `kubelet.faults` and `runtime.faults`.
"""
