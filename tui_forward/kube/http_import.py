"""Import of the HTTP client in a thread, beside the rest of the start.

aiohttp takes a quarter of a second of processor time to import. OpenSSL needs two fifths of that to
read the certificates of the system, without the interpreter's lock. So a process that will send
requests calls `preload` before it imports other modules; every request awaits `import_in_thread`.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from tui_forward.common.blocking_call import run_in_thread, start_in_thread

_HTTP_SESSION = "tui_forward.kube.api.http_session"
_imported: dict[str, ModuleType] = {}


def preload() -> None:
    """Begin to import aiohttp. Errors appear where it is used.

    Only that: two threads that import modules of one package can wait for each other.
    """
    start_in_thread(lambda: import_module("aiohttp"), name="import")


async def import_in_thread(module: str = _HTTP_SESSION) -> ModuleType:
    """Import a module without blocking the event loop; waits for an import in progress."""
    if module not in _imported:
        _imported[module] = await run_in_thread(lambda: import_module(module), name="import")
    return _imported[module]
