"""The API server of the embedded cluster.

In the order of a request: `server` accepts connections, `http` parses requests, `request_handler`
finds their target, authenticates and authorizes them (`auth`) and dispatches them.
`get_and_list`, `create_update_delete` and `watch` handle requests for objects of the `store`,
`tables` formats them for kubectl, `portforward` and `pod_logs` connect to the kubelet.
`resources` defines which resources exist. Functions that handle requests or write objects raise
`StatusError`, which becomes the error response.
"""
