from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from tests.cli.fake_session import FakeSession
from tests.support.waiting import until
from tui_forward.daemon import session_store as session_store
from tui_forward.daemon.session_store import SavedForward, SavedSession, SessionSaver
from tui_forward.errors import ForwardError
from tui_forward.model import ForwardSpec, ForwardState, LocalAddress, Target, TargetKind
from tui_forward.profiles.parser import parse_profile


def spec(name: str, **more: object) -> ForwardSpec:
    target = Target(
        context="here", namespace="shop", kind=TargetKind.DEPLOYMENT, name=name, port="80"
    )
    return ForwardSpec(target=target, **more)  # type: ignore[arg-type]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions" / "engine.json"


@asynccontextmanager
async def keeping(
    session: FakeSession, path: Path, *, resume: bool = False
) -> AsyncIterator[SessionSaver]:
    async with AsyncExitStack() as undo:
        keeper = SessionSaver(session, path)
        undo.push_async_callback(keeper.close)
        await keeper.open(resume=resume)
        yield keeper


def put(path: Path, what: SavedSession | bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(what if isinstance(what, bytes) else msgspec.json.encode(what))


def there(path: Path) -> bool:
    return path.exists()


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def content(path: Path) -> bytes:
    return path.read_bytes()


def names(path: Path) -> list[str]:
    return [one.spec.target.name for one in session_store.load_session(path).forwards]


async def test_what_is_on_is_written_down_with_its_port_and_pauses(path: Path) -> None:
    session = FakeSession()
    async with keeping(session, path) as keeper:
        assert not there(path), "nothing was asked for yet"
        forward_id = await session.start(spec("web"))
        keeper.schedule_save()
        await until(lambda: names(path) == ["web"])
        assert mode(path) == 0o600
        session.update(forward_id, listening=(LocalAddress("127.0.0.1", 8080),))
        session.change(forward_id, ForwardState.READY)
        await until(lambda: session_store.load_session(path).forwards[0].spec.local_port == 8080)
        session.update(forward_id, paused=True)
        keeper.keep_requested = True
        keeper.schedule_save()
        await until(
            lambda: (
                session_store.load_session(path).keep_running
                and session_store.load_session(path).forwards[0].paused
            )
        )
        assert keeper.has_forwards
        await session.stop(forward_id)
        keeper.schedule_save()
        await until(lambda: names(path) == [])
        assert not keeper.has_forwards


async def test_the_end_of_the_engine_is_not_the_end_of_what_was_on(path: Path) -> None:
    session = FakeSession()
    async with keeping(session, path) as keeper:
        await session.start(spec("web"))
        keeper.schedule_save()
    # Closed before it was time to write: it is there nevertheless.
    assert names(path) == ["web"]


@pytest.mark.parametrize("why", ["asked", "keep_running"])
async def test_it_is_brought_back(path: Path, why: str) -> None:
    was = (SavedForward(spec("web", local_port=8080)), SavedForward(spec("db"), paused=True))
    put(path, SavedSession(keep_running=why == "keep_running", forwards=was))
    session = FakeSession()
    async with keeping(session, path, resume=why == "asked") as keeper:
        assert [one.spec for one in session.forwards.values()] == [one.spec for one in was]
        assert [call for call in session.calls if call[0] == "pause"] == [("pause", "f2")]
        assert keeper.keep_requested is (why == "keep_running")
        assert not there(session_store.previous_session_file(path))
        await until(lambda: names(path) == ["web", "db"])


async def test_what_nobody_asked_for_is_put_by_and_offered(path: Path) -> None:
    was = SavedSession(forwards=(SavedForward(spec("web")),))
    put(path, was)
    session = FakeSession()
    async with keeping(session, path) as keeper:
        assert not session.forwards
        await session.start(spec("other"))
        keeper.schedule_save()
        await until(lambda: names(path) == ["other"])
        assert names(session_store.previous_session_file(path)) == ["web"]
    # An engine that had nothing to keep does not take it away.
    async with keeping(FakeSession(), path.with_name("another.json")):
        pass
    session_store.discard_session(session_store.previous_session_file(path))
    session_store.discard_session(session_store.previous_session_file(path))
    assert names(session_store.previous_session_file(path)) == []


async def test_what_cannot_be_begun_does_not_keep_the_rest_from_coming_back(path: Path) -> None:
    def refuse(session: FakeSession, forward_id: str) -> None:
        if session.forwards[forward_id].spec.target.name == "bad":
            del session.forwards[forward_id]
            raise ForwardError("no")

    session = FakeSession(refuse)
    was = SavedSession(forwards=(SavedForward(spec("bad")), SavedForward(spec("web"))))
    troubles = await session_store.restore(session, was)
    assert [str(error) for error in troubles] == ["no"]
    assert [one.spec.target.name for one in session.forwards.values()] == ["web"]


async def test_what_a_profile_said_last_is_kept_while_it_is_on(path: Path) -> None:
    session = FakeSession()
    profile = parse_profile("forwards: {web: {target: svc/web, port: 80}}", Path("/p/shop.yaml"))
    off = parse_profile("name: off\nforwards:", Path("/p/off.yaml"))
    async with keeping(session, path) as keeper:
        forward_id = await session.start(profile.forwards[0].spec)
        keeper.profiles.update({"shop": profile, "off": off})
        keeper.schedule_save()
        await until(
            lambda: session_store.profiles_of(session_store.load_session(path)) == {"shop": profile}
        )
        with keeper.between():
            await session.stop(forward_id)
            await asyncio.sleep(0.1)
            assert session_store.load_session(path).forwards, "half of an edit is never written"
            forward_id = await session.start(off_forward := spec("other", profile="off"))
        await until(
            lambda: session_store.profiles_of(session_store.load_session(path)) == {"off": off}
        )

        async def cut_short() -> None:
            with keeper.between():
                await session.stop(forward_id)
                raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await cut_short()
    # It was told to end in between.
    assert [one.spec for one in session_store.load_session(path).forwards] == [off_forward]
    # The next engine knows of it, and so does the one after that if nobody had looked.
    for resume in (True, False):
        async with keeping(FakeSession(), path, resume=resume) as keeper:
            assert keeper.before == {"off": off}
            await asyncio.sleep(0.05)
    assert session_store.profiles_of(
        session_store.load_session(session_store.previous_session_file(path))
    ) == {"off": off}


async def test_a_file_of_before_there_were_profiles_in_it(path: Path) -> None:
    put(path, b'{"version":1,"keep_running":true,"forwards":[],"profiles_of_tomorrow":[]}')
    assert session_store.load_session(path) == SavedSession(keep_running=True)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"version": 9}', b"\xff", b"[" * 100_000])
async def test_a_file_that_cannot_be_understood_is_put_aside(path: Path, data: bytes) -> None:
    put(path, data)
    async with keeping(FakeSession(), path, resume=True):
        pass
    assert not there(path)
    assert content(path.with_name("engine.json.bad")) == data


async def test_a_file_that_cannot_be_written_is_said_once(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.write_text("a file where a folder should be")
    session = FakeSession()
    async with keeping(session, path) as keeper:
        for name in ("web", "db"):
            await session.start(spec(name))
            keeper.schedule_save()
            await asyncio.sleep(0.05)
    assert len([one for one in caplog.records if "cannot be written" in one.message]) == 1
