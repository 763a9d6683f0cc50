r"""What goes over the wire, without I/O: bytes in, calls out, bytes to send.

Overview
========

===========================  ===============================================================
`upgrade`                    `ClientUpgrade`: one upgrade request and its answer
`upgrade_server`             the other end: `RequestReader`, negotiation, whole answers
`portforward`                `TunnelClient` and `ForwardedPair`: forwarded connections over SPDY
`portforward_server`         `TunnelServer` and `ServerPair`: the other end
`failures`                   error texts: `parse_failure`, and builders for servers
`websocket`, `masking`       RFC 6455 frames: `WebSocketConnection`, both sides
`channels`                   legacy channels: `ChannelsClient`, a tunnel with just one pair
`channels_server`            `ChannelsServer` and `ServerChannel`: the other end
`spdy`                       SPDY/3.1 itself: `SpdyConnection`, frames, header compression
===========================  ===============================================================

All connections here have the same shape:

* `receive_data(chunk)` takes bytes cut anywhere and calls the receivers synchronously;
  `receive_eof()` says that was the last byte. Neither ever raises on what a peer can do: a
  broken protocol becomes `.error` (a `ProtocolError`) and the last call, `..._ended(error)`.
* Payload is handed on in pieces, as `memoryview`s into the chunk, without waiting for the
  end of a frame. Keep a view only while the chunk's memory is not reused; a view keeps the
  whole chunk alive, so copy small pieces that must wait long.
* Sending methods queue. `data_to_send()` returns the queue, a list of buffers, for one
  `writelines` (or `sendmsg`) and empties it. Payload given to `send` is not copied: it must
  not change until it was written. Take data only while the transport has room; what a peer
  can provoke (pongs, refusals) is bounded only as long as it is not taken.
* Receivers may call any sending method from within, never `receive_data`; they must not
  raise. Sending on something that has ended is no error: it returns False.
* No timers: `REPLY_TIMEOUT_S`, `PAIR_TIMEOUT_S`, `PING_PERIOD_S` are the caller's to keep.

A client, over any byte stream::

    class Printer:                                   # PairReceiver
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

A server, after the 101::

    class Handler:                                   # TunnelServerHandler
        def pair_opened(self, pair): pair.receiver = Dialler(pair)   # ServerPairReceiver
        def tunnel_ended(self, error): ...

    tunnel = TunnelServer(Handler())
    while not tunnel.ended:
        tunnel.receive_data(sock.recv(262144))
        sock.sendmsg(tunnel.data_to_send())

For the WebSocket tunnel the bytes of `TunnelClient` travel as the payload of a
`WebSocketConnection(Side.CLIENT, receiver, binary_only=True)`: its receiver hands
`payload_received` to `tunnel.receive_data`, and `websocket.send(*tunnel.data_to_send())`
makes one message of all that is queued. A server as hard on clients as Go's sends
`websocket.send_like_go(split_fields(tunnel.data_to_send()))` (`spdy.fields`).
"""
