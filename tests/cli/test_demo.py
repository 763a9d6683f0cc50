from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from tui_forward.api import embedded_cluster
from tui_forward.cli import signals
from tui_forward.cli.demo.check_result import CheckFailedError, CheckResult, require
from tui_forward.cli.demo.report import Check, JsonRenderer, TextRenderer
from tui_forward.cli.demo.runner import DemoRunner
from tui_forward.errors import ConfigError, TransportError, TuiForwardError

GOOD = Check("pod deleted", True, "12 served · queued 0.2 s → fine", 1.0, {"served": 12})
BAD = Check("stalled readers", False, "neighbors took 5 s\x1b[2J", 2.0)


def text(*, color: bool = False, unicode: bool = True) -> list[str]:
    lines: list[str] = []
    renderer = TextRenderer(lines.append, color=color, unicode=unicode)
    renderer.begin()
    renderer.section("What goes away", "comes back")
    renderer.check(GOOD)
    renderer.check(BAD)
    renderer.end([GOOD, BAD], 3.04)
    return lines


def test_text_report() -> None:
    lines = text()
    assert "  ✓ pod deleted                        12 served · queued 0.2 s → fine" in lines
    assert "  ✗ stalled readers                    neighbors took 5 s [2J" in lines
    assert "1 of 2 checks failed in 3.0 s: stalled readers" in lines
    assert not any("\x1b" in line for line in lines)


def test_text_report_in_color_and_in_ascii() -> None:
    assert any("\x1b[32m✓\x1b[0m" in line for line in text(color=True))
    plain = text(unicode=False)
    assert all(line.isascii() for line in plain)
    assert "  + pod deleted                        12 served - queued 0.2 s -> fine" in plain


def test_json_report() -> None:
    lines: list[str] = []
    renderer = JsonRenderer(lines.append)
    renderer.begin()
    renderer.section("What goes away", "comes back")
    renderer.check(GOOD)
    renderer.end([GOOD, BAD], 3.04)
    assert [json.loads(line) for line in lines] == [
        {
            "section": "What goes away", "check": "pod deleted", "passed": True,
            "summary": GOOD.summary, "seconds": 1.0, "figures": {"served": 12},
        },
        {"checks": 2, "passed": 1, "seconds": 3.04},
    ]  # fmt: skip


async def test_error_fails_its_check_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui_forward.cli.demo.runner._CHECK_S", 0.02)
    shown: list[str] = []
    runner = DemoRunner(TextRenderer(shown.append))

    async def good() -> CheckResult:
        return CheckResult("well")

    async def broken(error: Exception) -> CheckResult:
        raise error

    async def endless() -> CheckResult:
        await asyncio.Event().wait()
        raise AssertionError

    await runner.run("good", good())
    await runner.run("broken", broken(CheckFailedError("1 is not 2")))
    await runner.run("reset", broken(ConnectionResetError()))
    await runner.run("unreachable", broken(TransportError("no route")))
    await runner.run("endless", endless())
    runner.record(await runner.start("meanwhile", good()))
    assert [(c.name, c.passed, c.summary) for c in runner.checks] == [
        ("good", True, "well"),
        ("broken", False, "1 is not 2"),
        ("reset", False, "ConnectionResetError"),
        ("unreachable", False, "no route"),
        ("endless", False, "not done within 0 s"),
        ("meanwhile", True, "well"),
    ]
    assert len(shown) == 6


def test_require_raises_its_message() -> None:
    require(True, "not raised")
    with pytest.raises(CheckFailedError, match="observed"):
        require([], "observed")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_signal_cancels_work_and_waits_for_cleanup(number: signal.Signals) -> None:
    cleaned = False

    async def work() -> int:
        nonlocal cleaned
        os.kill(os.getpid(), number)
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned = True
        return 1

    async with asyncio.timeout(60):
        assert await signals.run_until_signal(work()) is None
    assert cleaned


async def test_completed_work_returns_its_result() -> None:
    async def work(error: Exception | None = None) -> int:
        if error is not None:
            raise error
        return 7

    assert await signals.run_until_signal(work()) == 7
    with pytest.raises(ConfigError):
        await signals.run_until_signal(work(ConfigError("x")))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await signals.run_until_signal(asyncio.sleep(60))


def replace_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str) -> None:
    """Run `code` in an interpreter instead of the embedded cluster."""
    script = tmp_path / "cluster"
    script.write_text(f"#!{sys.executable}\n{code}\n")
    script.chmod(0o700)
    monkeypatch.setattr("tui_forward.common.child_process.sys.executable", str(script))


async def test_error_of_a_cluster_that_dies_is_quoted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    replace_cluster(
        monkeypatch, tmp_path, "import sys; sys.exit('minicluster: port 1 is taken (choose 2)')"
    )
    with pytest.raises(TuiForwardError, match=r"did not start: port 1 is taken \(choose 2\)"):
        async with embedded_cluster.embedded_cluster():
            pass


async def test_cluster_that_is_never_ready_times_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(embedded_cluster, "_START_S", 0.2)
    monkeypatch.setattr(embedded_cluster, "_END_S", 0.5)
    replace_cluster(
        monkeypatch, tmp_path,
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)",
    )  # fmt: skip
    with pytest.raises(TransportError, match="not ready within"):
        async with embedded_cluster.embedded_cluster():
            pass


async def test_cluster_is_terminated_at_the_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    replace_cluster(
        monkeypatch, tmp_path,
        "import sys, time\n"
        'print(\'{"ready": true, "kubeconfig": "/k", "server": "s", "control": "/c"}\')\n'
        "sys.stdout.flush(); time.sleep(60)",
    )  # fmt: skip
    async with embedded_cluster.embedded_cluster(["--pods", "1"]) as running:
        assert (running.kubeconfig, running.server, running.control) == ("/k", "s", "/c")
        assert running.process.returncode is None
    assert running.process.returncode == -signal.SIGTERM
