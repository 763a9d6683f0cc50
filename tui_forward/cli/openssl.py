"""Imports of the dashboard's process, which leaves TLS to the engine."""

from __future__ import annotations

import importlib
import sys
from typing import Any, Final

_OPENSSL: Final = ("ssl", "_hashlib")


def import_without_openssl() -> None:
    """Import asyncio and hashlib without OpenSSL, which both import where there is one.

    Saves 4 MiB of memory and the time to load it. asyncio cannot use TLS from then on; `ssl`, with
    streams of its own, can. Does nothing in a process that has imported them.
    """
    absent = [name for name in _OPENSSL if name not in sys.modules]
    modules: dict[str, Any] = sys.modules
    modules.update(dict.fromkeys(absent))  # None: cannot be imported
    try:
        importlib.import_module("asyncio")
        importlib.import_module("hashlib")
    finally:
        for name in absent:
            del sys.modules[name]
