"""`http-site`: a small website. Settings: `PORT`, `TITLE`.

`/bytes/N` returns N bytes, `POST` or `PUT /upload` counts the body, `/counters` returns the byte
counts of every connection, `/healthz` and `/readyz` are for probes.
"""

from __future__ import annotations

import html
import os
import time

import msgspec

from tui_forward.minicluster.runtime.apps import http
from tui_forward.minicluster.runtime.apps.connection import ConnectionLog
from tui_forward.minicluster.runtime.apps.context import AppContext

MAX_DOWNLOAD = 1 << 40

_PATTERN = memoryview(bytes(range(256)) * 1024)

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
  :root {{ color-scheme: light dark; }}
  body {{ font: 17px/1.6 system-ui, sans-serif; max-width: 42rem; margin: 4rem auto;
         padding: 0 1rem; }}
  h1 {{ font-size: 2rem; margin-bottom: .2rem; }}
  .pod {{ color: #6b7280; margin-top: 0; }}
  table {{ border-collapse: collapse; width: 100%; margin: 1.5rem 0; }}
  td {{ border-bottom: 1px solid #8884; padding: .45rem .3rem; }}
  td:first-child {{ color: #6b7280; width: 11rem; }}
  code, a.button {{ background: #8882; border-radius: .3rem; padding: .1rem .4rem; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p class="pod">You reached pod <b>{pod}</b> through a port-forward.</p>
<table>
<tr><td>namespace</td><td>{namespace}</td></tr>
<tr><td>up for</td><td>{age}</td></tr>
<tr><td>requests served</td><td>{requests}</td></tr>
<tr><td>your request</td><td><code>{method} {target}</code></td></tr>
<tr><td>its host</td><td><code>{host}</code></td></tr>
</table>
<p>Try <a class="button" href="/bytes/10485760">10 MiB</a>
<a class="button" href="/counters">counters</a>
<a class="button" href="/env">environment</a>,
or send something: <code>curl -T file http://…/upload</code>.</p>
</body>
</html>
"""


class _Site:
    def __init__(self, context: AppContext) -> None:
        self.connections = ConnectionLog()
        self._started = time.monotonic()
        self._requests = 0
        self._title = context.get_setting("TITLE", "The corner shop")
        self._pod = context.get_setting("HOSTNAME", f"process {os.getpid()}")
        self._namespace = context.get_setting("POD_NAMESPACE", "default")

    async def respond(self, request: http.Request) -> http.Response:
        self._requests += 1
        path = request.target.partition("?")[0]
        if path.startswith("/bytes/"):
            count = path.removeprefix("/bytes/")
            if not (count.isascii() and count.isdigit()) or int(count) > MAX_DOWNLOAD:
                return http.Response(status=400, body=b"invalid byte count\n")
            return http.Response(
                stream=int(count), pattern=_PATTERN, content_type="application/octet-stream"
            )
        if path == "/upload":
            if request.method not in ("POST", "PUT"):
                return http.Response(status=405, body=b"405 method not allowed\n")
            return http.Response(body=b"%d\n" % await request.discard_body())
        if path == "/counters":
            return http.Response(body=self.connections.to_json(), content_type="application/json")
        if path == "/env":
            body = {"pod": self._pod, "namespace": self._namespace, "pid": os.getpid()}
            return http.Response(body=msgspec.json.encode(body), content_type="application/json")
        if path in ("/healthz", "/readyz"):
            return http.Response(body=b"ok\n")
        if path in ("/", "/index.html"):
            return http.Response(body=self._index(request), content_type="text/html; charset=utf-8")
        return http.Response(status=404, body=b"404 page not found\n")

    def _index(self, request: http.Request) -> bytes:
        seconds = int(time.monotonic() - self._started)
        return _PAGE.format(
            title=html.escape(self._title),
            pod=html.escape(self._pod),
            namespace=html.escape(self._namespace),
            age=f"{seconds // 60} min {seconds % 60} s",
            requests=self._requests,
            method=html.escape(request.method),
            target=html.escape(request.target),
            host=html.escape(request.headers.get("host", "")),
        ).encode()


async def main(context: AppContext) -> int:
    """Serve until the process ends."""
    port = context.get_port(8080)
    site = _Site(context)
    context.log(f"http-site: serving on port {port}")
    context.serve(site.connections, port, http.make_handler(site.respond))
    return await context.serve_forever()
