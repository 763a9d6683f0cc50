"""The API server of the embedded cluster.

From the outside in: `server` accepts connections and authenticates, `router` finds out what a
request wants and asks `auth` whether it may, `reads` and `writes` answer requests for objects
out of the `store`, `tables` draws them as kubectl prints them, `portforward` and `logs` go
on to the kubelet. `resources` says what exists.
"""
