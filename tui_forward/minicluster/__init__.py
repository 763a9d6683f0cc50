"""The embedded cluster: a small Kubernetes on loopback, every hop a real server.

API server (`apiserver`, TLS) → kubelet (`kubelet`, TLS with client certificates) → CRI over
gRPC on a unix socket (`cri`) → streaming server of the runtime (`runtime`) → the pod.

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

Both take `owner_pid` (end, with everything below, when that process ends), `control` (path of a
unix socket for faults) and print one JSON line on stdout when they serve:
`{"ready": true, "pid": …, …}`. SIGTERM ends them in order: the runtime takes its pods with it.
SIGKILL is a crash: pods survive it, as they survive a real kubelet or containerd, and the next
process with the same configuration finds them again.

Control sockets speak one JSON object per line, one answer per request:
`{"fault": "crash", "namespace": "shop", "pod": "web-1"}` → `{"ok": true}`, or
`{"ok": false, "error": "…"}`. The faults are listed in `kubelet.faults` and `runtime.faults`.
"""
