from __future__ import annotations

import subprocess
import sys


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()


def test_contexts_are_listed_without_an_http_client() -> None:
    code = (
        "import sys\n"
        "from tui_forward.kube import ClusterClients, KubeconfigSource\n"
        "ClusterClients\n"
        "import tui_forward.catalog\n"
        "heavy = {'aiohttp', 'kubernetes', 'cryptography', 'yaml', 'asyncio.ssl'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert run(code) == "[]"


def test_preload_imports_the_http_client_beside_the_event_loop() -> None:
    code = (
        "import asyncio, sys, threading\n"
        "from tui_forward.kube.http_import import import_in_thread, preload\n"
        "preload()\n"
        "module = asyncio.run(import_in_thread())\n"
        "print(module.HttpSession.__name__, 'kubernetes' in sys.modules)"
    )
    assert run(code) == "HttpSession False"


def test_session_begins_to_import_the_http_client_before_its_backend() -> None:
    code = (
        "import asyncio, sys\n"
        "from tui_forward.kube import http_import\n"
        "from tui_forward.session.local import LocalSession\n"
        "http_import.preload = lambda: print('tui_forward.catalog' in sys.modules)\n"
        "async def main():\n"
        "    await LocalSession('/nonexistent/config').close()\n"
        "asyncio.run(main())"
    )
    assert run(code) == "False"
