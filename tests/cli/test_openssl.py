"""The dashboard's process does without OpenSSL, which is a tenth of its memory."""

from __future__ import annotations

import subprocess
import sys

LOADED = "[name for name in ('ssl', '_ssl', '_hashlib', 'hmac') if name in sys.modules]"


def run(code: str) -> list[str]:
    """Return the lines that code prints in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.splitlines()


def test_dashboard_loads_no_openssl() -> None:
    code = (
        "import sys; from tui_forward.cli.main import main\n"
        "assert main([]) == 2\n"  # there is no terminal
        "import tui_forward.tui.app_actions as actions, tui_forward.daemon.launcher\n"
        "actions.bindable_classes()\n"
        f"print({LOADED})"
    )
    assert run(code) == ["[]"]


def test_tls_is_still_detected() -> None:
    code = (
        "import sys; from tui_forward.cli.openssl import import_without_openssl as imports\n"
        "imports()\n"
        "import asyncio, hashlib; from tui_forward.common.links import probe\n"
        "async def refuse(reader, writer):\n"
        "    await reader.read(1)\n"
        "    writer.write(bytes([21, 3, 3, 0, 2, 2, 40]))\n"  # an alert of TLS
        "    writer.close()\n"
        "async def main():\n"
        "    async with await asyncio.start_server(refuse, '127.0.0.1', 0) as server:\n"
        "        print(await probe('127.0.0.1', server.sockets[0].getsockname()[1]))\n"
        "asyncio.run(main())\n"
        "print(hashlib.sha256(b'').hexdigest()[:8])"
    )
    assert run(code) == ["https", "e3b0c442"]


def test_process_that_has_imported_asyncio_stays_as_it_is() -> None:
    code = (
        "import sys, asyncio, asyncio.sslproto\n"
        "from tui_forward.cli.openssl import import_without_openssl\n"
        "import_without_openssl()\n"
        "print('ssl' in sys.modules, asyncio.sslproto.ssl is sys.modules['ssl'])"
    )
    assert run(code) == ["True True"]
