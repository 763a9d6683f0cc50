"""What a real kubectl says about each fault of the table.

    python -m tests.session.doctor.kubectl_words [NAME...]   # asks again, writes kubectl_words.json

A fault of the name server exists in the process of its test only; kubectl asks the real one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.kube.kubectl_peer import GO_SETTINGS, find_kubectl
from tests.session.doctor.faults import FAULTS, Fault, Scene
from tests.session.doctor.test_faults import normalize
from tui_forward.model import TargetKind

FILE = Path(__file__).with_suffix(".json")
WAITS, WORKS = "(waits)", "(works)"
_TIMEOUT_S = 12.0
_SETTLE_S = 2.5  # until no more texts follow
_BUSY_S = 90.0  # the same two on a busy machine, where a text is expected
_MAX_TEXT = 180
# Headers of klog lines, and what differs between runs.
_LOG_HEAD = re.compile(r'^[EIW]\d{4} .*?\] (?:"Unhandled Error" err="?)?')
_CONCLUSIONS = ("error", "Error", "Unable", "The connection")
_FORWARDING = re.compile(rb"Forwarding from 127\.0\.0\.1:(\d+)")


def load_words() -> dict[str, str]:
    """Return kubectl's words by the name of the fault."""
    words: dict[str, str] = json.loads(FILE.read_text("utf-8"))
    return words


async def ask_kubectl(scene: Scene, folder: Path, *, expects_text: bool = False) -> str:
    """Return the last line that kubectl prints on a chain, or whether it waits or works."""
    kubectl = find_kubectl()
    assert kubectl is not None
    lines = await port_forward_lines(kubectl, scene, folder, expects_text=expects_text)
    conclusions = [text for text in lines if text.startswith(_CONCLUSIONS)]
    return normalize((conclusions or lines)[-1], folder)[:_MAX_TEXT]


async def port_forward_lines(
    kubectl: Path, scene: Scene, folder: Path, *, expects_text: bool = False
) -> list[str]:
    """Return what a kubectl prints of faults on a chain; `WAITS` or `WORKS` if it is nothing.

    With `expects_text` it may take as long as a busy machine needs.
    """
    tested = scene.tested
    arguments = ["port-forward", "-n", tested.namespace, f"{tested.kind.value}/{tested.name}"]
    port = tested.port or ("80" if tested.kind is TargetKind.SERVICE else "http")
    arguments.append(f":{port}")
    if scene.context:
        arguments.append(f"--context={scene.context}")
    environ = {
        "HOME": str(folder), "PATH": os.environ["PATH"], **GO_SETTINGS, **scene.environ
    }  # fmt: skip
    if scene.config is not None:
        environ["KUBECONFIG"] = str(scene.config)
    process = await asyncio.create_subprocess_exec(
        kubectl, *arguments, env=environ, cwd=folder, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdout is not None
    lines: list[bytes] = []
    try:
        async with asyncio.timeout(_BUSY_S if expects_text else _TIMEOUT_S):
            while line := await process.stdout.readline():
                lines.append(line)
                if found := _FORWARDING.match(line):
                    await _connect(int(found[1]))
                    while line := await asyncio.wait_for(
                        process.stdout.readline(),
                        _BUSY_S if expects_text and not any(map(_is_text, lines)) else _SETTLE_S,
                    ):
                        lines.append(line)
                    break
    except TimeoutError:
        pass
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    own = [  # the last lines are its conclusion
        _LOG_HEAD.sub("", text).lstrip('" ')
        for text in (line.decode("utf-8", "replace").strip() for line in filter(_is_text, lines))
    ]
    return own or [WORKS if lines else WAITS]


def _is_text(line: bytes) -> bool:
    return bool(line.strip()) and not line.startswith((b"Forwarding from", b"Handling connection"))


async def _connect(port: int) -> None:
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(2.0):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            with contextlib.closing(writer):
                writer.write(b"x")
                await reader.read(1)


async def words_for(fault: Fault, *, expects_text: bool = False) -> str:
    """Produce a fault and ask kubectl about it."""
    patch = pytest.MonkeyPatch()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            async with fault.produce(folder, patch) as scene:
                patch.undo()  # the resolver of this process
                return await ask_kubectl(scene, folder, expects_text=expects_text)
        finally:
            patch.undo()


def main(names: Sequence[str]) -> None:
    """Ask about these faults, or about every one, one after the other."""
    before = load_words() if names else {}
    words = {
        fault.name: before[fault.name]
        if names and fault.name not in names
        else asyncio.run(words_for(fault))
        for fault in FAULTS
    }
    FILE.write_text(json.dumps(words, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
