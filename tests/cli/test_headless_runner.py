from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator

import pytest

from tests.cli.fake_session import FakeSession, until
from tui_forward.cli.event_output import JsonEventPrinter, KubectlEventPrinter
from tui_forward.cli.headless_runner import HeadlessRunner
from tui_forward.cli.output import Output
from tui_forward.errors import NotReadyError, TransportError, TuiForwardError
from tui_forward.model import (
    ApiHealth,
    BlockedBy,
    Connection,
    EventKind,
    ForwardSpec,
    ForwardState,
    ReasonCode,
    Target,
    TargetKind,
)


def spec(port: str = "80", local: int | None = 8080, address: str = "localhost") -> ForwardSpec:
    target = Target(context="here", namespace="shop", kind=TargetKind.POD, name="web-1", port=port)
    return ForwardSpec(target=target, local_port=local, addresses=(address,))


class Lines:
    """Lines that were written, in order, each after the name of its stream."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.output = Output(self._writer("out"), self._writer("err"))

    def _writer(self, name: str) -> Callable[[bytes], None]:
        def write(data: bytes) -> None:
            self.lines += [f"{name} {line}" for line in data.decode().splitlines()]

        return write

    async def until(self, line: str) -> None:
        await until(lambda: line in self.lines)

    def close(self) -> None:
        self.output.close()


@pytest.fixture
def lines() -> Iterator[Lines]:
    lines = Lines()
    yield lines
    lines.close()


async def started(
    session: FakeSession, lines: Lines, *specs: ForwardSpec, json_mode: bool = False
) -> tuple[asyncio.Task[None], asyncio.Event]:
    stop = asyncio.Event()
    printer = (
        JsonEventPrinter(lines.output)
        if json_mode
        else KubectlEventPrinter(lines.output, named=len(specs) > 1)
    )
    task = asyncio.create_task(HeadlessRunner(session, printer).run(specs, stop))
    return task, stop


def ready_at(port: int = 8080) -> Callable[[FakeSession, str], None]:
    return lambda session, forward_id: session.make_ready(forward_id, port)


async def test_prints_kubectl_lines_until_stopped(lines: Lines) -> None:
    session = FakeSession(ready_at())
    task, stop = await started(session, lines, spec())
    await lines.until("out Forwarding from [::1]:8080 -> 80")
    session.emit(EventKind.CONNECTION_OPENED, "f1")
    await lines.until("out Handling connection for 8080")
    stop.set()
    await task
    lines.close()
    assert lines.lines == [
        "err ready: pod web-1",
        "out Forwarding from 127.0.0.1:8080 -> 80",
        "out Forwarding from [::1]:8080 -> 80",
        "out Handling connection for 8080",
        "err stopped",
    ]
    assert ("stop", "f1") in session.calls


async def test_json_prints_one_event_per_line(lines: Lines) -> None:
    session = FakeSession(ready_at())
    task, stop = await started(session, lines, spec(), json_mode=True)
    await until(lambda: len(lines.lines) >= 2)
    stop.set()
    await task
    lines.close()
    events = [json.loads(line.removeprefix("out ")) for line in lines.lines]
    assert [e["event"] for e in events] == ["listening", "state", "stopped"]
    assert events[0]["listening"][0] == {"host": "::1", "port": 8080}
    assert events[1] == {
        "event": "state", "time": 1.0, "forward": "f1", "sequence": 2, "state": "ready",
        "reason": "pod web-1", "target": "shop/pod/web-1:80",
    }  # fmt: skip


async def test_state_lines_name_the_forward_if_there_are_several(lines: Lines) -> None:
    session = FakeSession()
    task, stop = await started(session, lines, spec("80"), spec("81", 8081))
    await until(lambda: len(session.forwards) == 2)
    session.make_ready("f1", 8080)
    session.change("f2", ForwardState.WAITING, "0 of 1 pods are ready", "see the pod")
    await lines.until("err   hint: see the pod")
    assert "err shop/pod/web-1:80 ready: pod web-1" in lines.lines
    assert "err shop/pod/web-1:81 waiting: 0 of 1 pods are ready" in lines.lines
    stop.set()
    await task


@pytest.mark.parametrize("blocked_by", list(BlockedBy))
async def test_blocked_before_ready_fails_the_command(lines: Lines, blocked_by: BlockedBy) -> None:
    session = FakeSession()
    task, _ = await started(session, lines, spec())
    await until(lambda: session.forwards)
    session.change("f1", ForwardState.BLOCKED, "port 8080 is taken", "free it", blocked_by)
    with pytest.raises(TuiForwardError, match="port 8080 is taken") as caught:
        await task
    assert caught.value.hint == "free it"
    assert ("stop", "f1") in session.calls


async def test_blocked_after_ready_stays(lines: Lines) -> None:
    session = FakeSession(ready_at())
    task, stop = await started(session, lines, spec())
    await lines.until("out Forwarding from 127.0.0.1:8080 -> 80")
    session.change(
        "f1", ForwardState.BLOCKED, "the token has expired", "log in", BlockedBy.CREDENTIALS
    )
    await lines.until("err blocked: the token has expired")
    session.change("f1", ForwardState.READY, "pod web-2")
    await lines.until("err ready: pod web-2")
    assert not task.done()
    assert lines.lines.count("out Forwarding from 127.0.0.1:8080 -> 80") == 1
    stop.set()
    await task


async def test_new_address_is_printed_again(lines: Lines) -> None:
    session = FakeSession(ready_at())
    task, stop = await started(session, lines, spec())
    await lines.until("out Forwarding from 127.0.0.1:8080 -> 80")
    session.update("f1", remote_port=8000)
    session.change("f1", ForwardState.READY, "pod web-2")
    await lines.until("out Forwarding from 127.0.0.1:8080 -> 8000")
    stop.set()
    await task


@pytest.mark.parametrize(
    "code",
    [
        ReasonCode.NETWORK_REFUSED,
        ReasonCode.NETWORK_TIMEOUT,
        ReasonCode.NETWORK_TLS_TIMEOUT,
        ReasonCode.NETWORK_UNREACHABLE,
        ReasonCode.API_STARTING,
        ReasonCode.API_THROTTLED,
        ReasonCode.API_GATEWAY,
    ],
)
async def test_server_that_does_not_answer_yet_is_waited_for(
    lines: Lines, code: ReasonCode
) -> None:
    session = FakeSession()
    session.health = (ApiHealth(context="here", ok=False, code=code, error="no answer"),)
    task, stop = await started(session, lines, spec())
    await until(lambda: session.forwards)
    session.change("f1", ForwardState.WAITING, "no answer")
    await lines.until("err waiting: no answer")
    assert not task.done()
    stop.set()
    await task


@pytest.mark.parametrize(
    ("code", "blocked_by"),
    [
        (ReasonCode.NETWORK_CERTIFICATE, None),
        (ReasonCode.NETWORK_NOT_TLS, None),
        (ReasonCode.NETWORK_DNS, None),
        (ReasonCode.AUTH_TOKEN_EXPIRED, BlockedBy.CREDENTIALS),
        (ReasonCode.CONFIG_INVALID, BlockedBy.CONFIG),
    ],
)
async def test_wrong_server_fails_the_command_only_before_ready(
    lines: Lines, code: ReasonCode, blocked_by: BlockedBy | None
) -> None:
    session = FakeSession()
    task, _ = await started(session, lines, spec())
    session.health = (
        ApiHealth(context="here", ok=False, code=code, error="it is wrong", blocked_by=blocked_by),
    )
    with pytest.raises(TuiForwardError, match="it is wrong"):
        await task

    session = FakeSession(ready_at())
    task, stop = await started(session, lines, spec())
    await lines.until("out Forwarding from 127.0.0.1:8080 -> 80")
    session.health = (ApiHealth(context="here", ok=False, error="no route to 10.0.0.1"),)
    session.change("f1", ForwardState.RECONNECTING, "no route")
    await lines.until("err reconnecting: no route")
    assert not task.done()
    stop.set()
    await task


async def test_unexpected_local_port_is_noted(lines: Lines) -> None:
    session = FakeSession(ready_at(8081))
    task, stop = await started(session, lines, spec("8080", None))
    await lines.until("out Forwarding from 127.0.0.1:8081 -> 80")
    assert "err note:  local port 8080 is in use, listening on 8081 instead" in lines.lines
    stop.set()
    await task


async def test_unverified_certificate_is_noted_once(lines: Lines) -> None:
    def make_ready(session: FakeSession, forward_id: str) -> None:
        session.update(forward_id, insecure=True)
        session.make_ready(forward_id)

    session = FakeSession(make_ready)
    task, stop = await started(session, lines, spec())
    context = spec().target.context
    note = (
        f"err note:  the certificate of the API server of {context} is not verified "
        "(insecure-skip-tls-verify)"
    )
    await lines.until(note)
    session.update("f1", remote_port=8000)
    session.change("f1", ForwardState.READY, "again")
    await lines.until("out Forwarding from 127.0.0.1:8080 -> 8000")
    assert lines.lines.count(note) == 1
    stop.set()
    await task


async def test_address_that_is_not_loopback_is_noted(lines: Lines) -> None:
    session = FakeSession(ready_at())
    task, stop = await started(session, lines, spec(address="0.0.0.0"))
    await lines.until("err note:  listening on 0.0.0.0: other machines may reach this forward")
    stop.set()
    await task


async def test_failed_connection_is_printed_with_its_reason(lines: Lines) -> None:
    session = FakeSession(ready_at())
    task, stop = await started(session, lines, spec())
    session_connection = Connection(
        id=1,
        forward_id="f1",
        client="127.0.0.1:5",
        failed=True,
        close_reason="refused\x1b[2J by pod",
    )
    await lines.until("out Forwarding from 127.0.0.1:8080 -> 80")
    session.emit(EventKind.CONNECTION_CLOSED, "f1", connection=session_connection)
    await lines.until("err connection from 127.0.0.1:5 failed: refused [2J by pod")
    stop.set()
    await task


async def test_lost_engine_fails_the_command(lines: Lines) -> None:
    session = FakeSession(ready_at())
    task, _ = await started(session, lines, spec())
    await lines.until("out Forwarding from 127.0.0.1:8080 -> 80")
    session.fail(TransportError("the engine process has ended"))
    with pytest.raises(TransportError, match="engine process"):
        await task


async def test_stop_that_hangs_is_bounded(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui_forward.cli.headless_runner._STOP_S", 0.05)

    class Stuck(FakeSession):
        async def stop(self, forward_id: str) -> None:
            await asyncio.Event().wait()

    session = Stuck(ready_at())
    task, stop = await started(session, lines, spec())
    await lines.until("out Forwarding from 127.0.0.1:8080 -> 80")
    stop.set()
    async with asyncio.timeout(60):
        await task


async def test_quiet_prints_only_local_addresses(lines: Lines) -> None:
    session = FakeSession(ready_at())
    stop = asyncio.Event()
    printer = KubectlEventPrinter(lines.output, quiet=True)
    task = asyncio.create_task(HeadlessRunner(session, printer).run([spec("9090", None)], stop))
    await lines.until("out Forwarding from 127.0.0.1:8080 -> 80")
    session.emit(EventKind.CONNECTION_OPENED, "f1")
    stop.set()
    await task
    lines.close()
    assert lines.lines == [
        "out Forwarding from 127.0.0.1:8080 -> 80",
        "out Forwarding from [::1]:8080 -> 80",
    ]


async def test_forward_that_is_not_ready_in_time_fails(lines: Lines) -> None:
    session = FakeSession()
    printer = KubectlEventPrinter(lines.output, named=False)
    runner = HeadlessRunner(session, printer, first_ready_s=0.2)
    task = asyncio.create_task(runner.run([spec()], asyncio.Event()))
    await until(lambda: session.forwards)
    session.change("f1", ForwardState.WAITING, "no pod matches")
    with pytest.raises(NotReadyError, match=r"not ready within 0\.2s: no pod matches"):
        await task
    assert not session.forwards


async def test_forward_that_was_ready_in_time_continues(lines: Lines) -> None:
    session = FakeSession(ready_at())
    printer = KubectlEventPrinter(lines.output, named=False)
    runner = HeadlessRunner(session, printer, first_ready_s=0.2)
    stop = asyncio.Event()
    task = asyncio.create_task(runner.run([spec()], stop))
    await lines.until("out Forwarding from 127.0.0.1:8080 -> 80")
    session.change("f1", ForwardState.WAITING, "no pod matches")
    await asyncio.sleep(0.4)
    assert not task.done()
    stop.set()
    await task
