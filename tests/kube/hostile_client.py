"""Client process of the memory tests: one request for each scenario, its outcome and its memory.

Run as `python -m tests.kube.hostile_client PORT SCENARIO…`; prints a JSON line for each.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import tempfile
from contextlib import aclosing
from pathlib import Path

from tests.kube.kubeconfigs import cluster_for, kubeconfig, write
from tui_forward.catalog.reflector import Reflector
from tui_forward.errors import TuiForwardError
from tui_forward.kube import PODS, ClusterClient
from tui_forward.kube.api import limits, pager, rest_client

# The bounds in this process, to keep the tests short.
SMALL_BYTES = 16 * 2**20


def peak_mib() -> int:
    """Return the largest resident size of this process so far."""
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) // 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 2**20


async def run(scenario: str, cluster: ClusterClient) -> str:
    """Run one scenario; return what was received."""
    if scenario == "line":
        return f"{len(await cluster.pod_log('shop', 'web', lines=100, max_bytes=2**20))} bytes"
    if scenario == "event":
        async with aclosing(cluster.watch(PODS, "shop", resource_version="1")) as events:
            async for _ in events:
                pass
        return "end"
    if scenario == "events":
        failed = asyncio.Event()
        reflector = Reflector(
            cluster, PODS, "shop", on_change=lambda _old, _new: None, on_status=failed.set
        )
        reflector._succeeded()
        failed.clear()
        reflector._version = "1"  # the list is there
        reflector.start()
        await failed.wait()
        await reflector.stop()
        assert reflector.error is not None
        raise reflector.error
    if scenario == "interim":
        await cluster._rest.get("/api/v1/pods", "list pods", read_timeout_s=1.0)
    if scenario == "parallel":
        lists = [run("blanks", cluster) for _ in range(24)]
        found = await asyncio.gather(*lists, return_exceptions=True)
        raise next(one for one in found if isinstance(one, TuiForwardError))
    pages = cluster.list_pages(PODS)
    async with aclosing(pages):
        return f"{sum([len(page.items) async for page in pages])} objects"


async def main(port: int, scenarios: list[str]) -> None:
    """Run the scenarios one after the other, `line` first to import everything."""
    with tempfile.TemporaryDirectory() as folder:
        before = 0
        for name in ("line", *scenarios):
            prefix = "blanks" if name == "parallel" else name
            path = write(Path(folder) / name, kubeconfig(f"http://127.0.0.1:{port}/{prefix}"))
            cluster = cluster_for(path)
            cluster._rest.latency_s = 0.1 if name == "gzip" else 0.0001
            limits.HELD.limit = SMALL_BYTES if name == "parallel" else limits.MAX_HELD_BYTES
            result: dict[str, object] = {"scenario": name}
            try:
                async with asyncio.timeout(100):
                    result["received"] = await run(name, cluster)
            except TuiForwardError as error:
                result |= {"code": error.code, "message": error.message}
            except TimeoutError:
                result["code"] = "hangs"
            await cluster.close()
            assert limits.HELD.held == 0, name
            gc.collect()
            before = before or peak_mib()
            line = json.dumps({**result, "grown": peak_mib() - before})
            sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    bounds: dict[str, object] = {
        "MAX_LIST_BYTES": SMALL_BYTES,
        "MAX_DECODED_BYTES": SMALL_BYTES,
        "MAX_LIST_OBJECTS": 5_000,
    }
    for bound, value in bounds.items():
        setattr(limits, bound, value)
    setattr(pager, "MAX_UNDECODED_BYTES", SMALL_BYTES // 2)  # noqa: B010 - a Final to mypy
    rest_client.CONNECT_TIMEOUT_S = 1.0
    asyncio.run(main(int(sys.argv[1]), sys.argv[2:]))
