"""`metrics`: a page of Prometheus metrics that changes every time. Settings: `PORT`, `SERIES`.

It also writes one log line per second, to have logs to follow.
"""

from __future__ import annotations

import asyncio
import math
import time

from tui_forward.minicluster.runtime.apps import http
from tui_forward.minicluster.runtime.apps.connection import ConnectionLog
from tui_forward.minicluster.runtime.apps.context import AppContext


def _render(series: int, started: float, scrapes: int) -> bytes:
    age = time.monotonic() - started
    lines = [
        "# HELP process_uptime_seconds Time since the process started.",
        "# TYPE process_uptime_seconds gauge",
        f"process_uptime_seconds {age:.3f}",
        "# HELP scrapes_total How often this page was read.",
        "# TYPE scrapes_total counter",
        f"scrapes_total {scrapes}",
        "# HELP shop_requests_total Requests by path and code.",
        "# TYPE shop_requests_total counter",
    ]
    for number in range(series):
        path = ("cart", "checkout", "search", "item", "login")[number % 5]
        code = (200, 200, 200, 302, 404, 500)[number % 6]
        value = int(age * (number % 17 + 1) * 3)
        lines.append(f'shop_requests_total{{path="/{path}/{number}",code="{code}"}} {value}')
    lines += ["# HELP shop_queue_depth Jobs that wait.", "# TYPE shop_queue_depth gauge"]
    for number in range(min(series, 20)):
        depth = 50 + 50 * math.sin(age / 10 + number)
        lines.append(f'shop_queue_depth{{queue="q{number}"}} {depth:.2f}')
    return ("\n".join(lines) + "\n").encode()


async def main(context: AppContext) -> int:
    """Serve until the process ends."""
    port = context.get_port(9090)
    series = int(context.get_setting("SERIES", "2000"))
    started = time.monotonic()
    scrapes = 0

    async def respond(request: http.Request) -> http.Response:
        nonlocal scrapes
        path = request.target.partition("?")[0]
        if path != "/metrics":
            body = b'<html><body><a href="/metrics">metrics</a></body></html>\n'
            status = 200 if path == "/" else 404
            return http.Response(status=status, body=body, content_type="text/html")
        scrapes += 1
        content_type = "text/plain; version=0.0.4; charset=utf-8"
        return http.Response(body=_render(series, started, scrapes), content_type=content_type)

    context.log(f"metrics: serving {series} series on port {port}")

    async def log_ticks() -> None:
        while True:
            await asyncio.sleep(1.0)
            context.log(f'level=info msg="tick" scrapes={scrapes}')

    context.serve(ConnectionLog(), port, http.make_handler(respond))
    async with asyncio.TaskGroup() as group:
        group.create_task(log_ticks())
        return await context.serve_forever()
