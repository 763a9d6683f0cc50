r"""Codecs of the wire protocols, without I/O: bytes in, calls out, bytes to send.

`portforward` (SPDY) and `channels` (legacy) forward connections, over `spdy` and `websocket`, once
`upgrade` has switched protocols. A module named `..._server` is the server end of another.

All connections here have the same shape:

* `receive_data(chunk)` accepts bytes cut anywhere and calls the receivers synchronously;
  `receive_eof()` marks the end of the data. Neither raises on the input of a peer: a
  protocol violation becomes `.error` (a `ProtocolError`) and the last call,
  `..._ended(error)`.
* Payload is passed on in pieces, as `memoryview`s into the chunk, without waiting for the
  end of a frame. Keep a view only while the chunk's memory is not reused; a view keeps the
  whole chunk alive, so copy small pieces that are kept for long.
* Sending methods queue. `data_to_send()` returns the queue, a list of buffers, for one
  `writelines` (or `sendmsg`) and empties it. Payload passed to `send` is not copied: it must
  not change until it has been written. Call `data_to_send` only while the transport has
  room: replies to the peer (pongs, refusals) are bounded only while they are queued.
* Receivers may call any sending method, but not `receive_data`, and must not raise. Sending
  on an ended connection or stream is no error: it returns False.
* No timers: the caller applies `REPLY_TIMEOUT_S`, `PAIR_TIMEOUT_S` and `PING_PERIOD_S`.

A client, over any byte stream::

    class Printer:                                   # StreamPairReceiver
        def accepted(self): ...
        def data_received(self, data): sys.stdout.buffer.write(data)
        def eof_received(self): ...
        def closed(self, failure): print("closed:", failure)

    upgrade = ClientUpgrade(UpgradeKind.SPDY, path, authority=..., headers=[...])
    sock.sendall(upgrade.request())
    while not upgrade.done:
        upgrade.receive_data(sock.recv(65536))       # UpgradeError, ProtocolError
    tunnel = TunnelClient(handler)                   # handler: TunnelHandler
    tunnel.receive_data(upgrade.leftover)
    pair = tunnel.open(80, Printer())
    pair.send(b"GET / HTTP/1.0\r\n\r\n")
    while not tunnel.ended:
        sock.sendmsg(tunnel.data_to_send())
        chunk = sock.recv(262144)
        tunnel.receive_data(chunk) if chunk else tunnel.receive_eof()

For the WebSocket tunnel the bytes of `TunnelClient` travel as the payload of a
`WebSocketConnection(Side.CLIENT, receiver, binary_only=True)`: its receiver passes
`payload_received` to `tunnel.receive_data`, and `websocket.send(*tunnel.data_to_send())`
sends the whole queue as one message. To fragment like a Go server, use
`websocket.send_fragmented(split_fields(tunnel.data_to_send()))` (`spdy.fields`).
"""
