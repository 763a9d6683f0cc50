"""`tui-forward doctor`: its arguments, its output and its exit code."""

from __future__ import annotations

import asyncio
import json
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from tests.kube.kubeconfigs import kubeconfig, write
from tui_forward.cli.doctor_output import TextDoctorPrinter, make_printer, print_results
from tui_forward.cli.main import main
from tui_forward.common.doctor_text import conclusion, hop_label, is_healthy, not_reached_by
from tui_forward.model import (
    DoctorHop,
    DoctorOutcome,
    DoctorResult,
    ReasonCode,
    TransportChoice,
)

Hop, Outcome = DoctorHop, DoctorOutcome


@pytest.fixture
def refusing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A kubeconfig of a server that refuses connections."""
    path = write(tmp_path / "config", kubeconfig("https://127.0.0.1:1"))
    monkeypatch.setenv("KUBECONFIG", str(path))
    return path


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_names_the_broken_hop(refusing: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 1
    output = lines(capsys)
    (fault,) = [line.strip() for line in output if "fault:" in line]
    assert fault.startswith("fault: the API server at 127.0.0.1:1 refuses")
    assert output[-3] == (
        "– not reached, because TCP is broken: TLS, API server, identity, permissions"
    )
    assert output[-1] == "Broken: TCP."


def test_json_has_an_object_for_each_hop(
    refusing: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "svc/web", "http", "--json"]) == 1
    results = [msgspec.json.decode(line, type=DoctorResult) for line in lines(capsys)]
    assert {one.hop for one in results} == set(DoctorHop)
    (fault,) = [one for one in results if one.outcome is Outcome.FAULT]
    assert (fault.hop, fault.code) == (Hop.TCP, ReasonCode.NETWORK_REFUSED)


def test_trace_is_private_and_complete(refusing: Path, tmp_path: Path) -> None:
    file = tmp_path / "trace.json"
    file.write_text("older")
    file.chmod(0o644)
    assert main(["doctor", "--trace", str(file)]) == 1
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    content = json.loads(file.read_text())
    assert {"tui_forward", "python", "openssl", "system", "entries"} == set(content)
    assert content["entries"][-1]["outcome"] == "fault"


def test_trace_that_cannot_be_written(
    refusing: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["doctor", "--trace", str(tmp_path / "file" / "t.json")]) == 2
    assert "cannot write the trace" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nosuch/web"], "is not a kind of object"),
        (["svc/web", "http", "-l", "app=web"], "cannot be combined"),
        (["svc/web", "99999"], "99999"),
    ],
)
def test_usage_errors(
    arguments: list[str], message: str, refusing: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", *arguments]) == 2
    assert message in capsys.readouterr().err


GOOD = DoctorResult(hop=Hop.DNS, outcome=Outcome.GOOD, tried="resolve a", duration_s=0.0021)
FAULT = DoctorResult(
    hop=Hop.UPGRADE, outcome=Outcome.FAULT, transport=TransportChoice.WEBSOCKET, tried="open it",
    duration_s=1.25, code=ReasonCode.API_GATEWAY, cause="it is broken", fix="repair it",
)  # fmt: skip
LOST = DoctorResult(hop=Hop.PORT, outcome=Outcome.NOT_REACHED, broken=Hop.UPGRADE)
NOTE = DoctorResult(hop=Hop.API, outcome=Outcome.NOTE, tried="ask", cause="slow", fix="wait")


def printed(capsys: pytest.CaptureFixture[str], *results: DoctorResult) -> str:
    printer = make_printer(as_json=False)
    for one in results:
        printer.running(one, 0.0)
        printer.result(one)
    printer.end(list(results))
    return capsys.readouterr().out


def test_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, GOOD, NOTE, FAULT, LOST).splitlines() == [
        "✓ DNS                2.1 ms  resolve a",
        "! API server                 ask",
        "                             note: slow",
        "                             fix: wait",
        "✗ upgrade WebSocket   1.2 s  open it",
        "                             fault: it is broken",
        "                             fix: repair it",
        "– not reached, because upgrade is broken: port",
        "",
        "Broken: upgrade.",
    ]


def test_live_table_rewrites_the_last_line(capsys: pytest.CaptureFixture[str]) -> None:
    printer = TextDoctorPrinter(sys.stdout, is_live=True, color=False, width=80)
    printer.running(DoctorResult(hop=Hop.DNS, outcome=Outcome.RUNNING), 3.4)
    printer.result(GOOD)
    output = capsys.readouterr().out
    assert output.startswith("\r\x1b[K◌ DNS                   3 s\r\x1b[K✓ DNS")


async def test_stopped_test_leaves_no_live_line(capsys: pytest.CaptureFixture[str]) -> None:
    async def one_result() -> AsyncIterator[DoctorResult]:
        yield GOOD
        yield DoctorResult(hop=Hop.TCP, outcome=Outcome.RUNNING)
        await asyncio.Event().wait()

    printer = TextDoctorPrinter(sys.stdout, is_live=True, color=False, width=80)
    printing = asyncio.ensure_future(print_results(one_result(), printer))
    output = ""
    while "TCP" not in output:
        await asyncio.sleep(0)
        output += capsys.readouterr().out
    printing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await printing
    assert capsys.readouterr().out == "\r\x1b[K"


def test_conclusions() -> None:
    assert conclusion([GOOD]) == "Every hop works: 1 tested in 0.0 s."
    assert conclusion([GOOD, NOTE]) == "Every hop works: 2 tested in 0.0 s, 1 with a note."
    assert conclusion([GOOD, FAULT, LOST]) == "Broken: upgrade."
    assert is_healthy([GOOD, NOTE])
    assert not is_healthy([GOOD, LOST])
    assert hop_label(FAULT) == "upgrade WebSocket"
    assert not_reached_by([LOST, GOOD]) == {"upgrade": ["port"]}
