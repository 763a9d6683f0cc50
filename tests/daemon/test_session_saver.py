from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from tests.cli.fake_session import FakeSession
from tests.support.waiting import until
from tui_forward.common import atomic_file
from tui_forward.daemon import session_saver, session_store
from tui_forward.daemon.session_saver import SessionSaver
from tui_forward.daemon.session_store import SavedForward, SavedSession
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
async def saving(
    session: FakeSession, path: Path, *, restore: bool = False
) -> AsyncIterator[SessionSaver]:
    async with AsyncExitStack() as undo:
        saver = SessionSaver(session, path)
        undo.push_async_callback(saver.close)
        await saver.open(restore=restore)
        yield saver


def write(path: Path, content: SavedSession | bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else msgspec.json.encode(content))


def exists(path: Path) -> bool:
    return path.exists()


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def read(path: Path) -> bytes:
    return path.read_bytes()


def names(path: Path) -> list[str]:
    return [one.spec.target.name for one in session_store.load_session(path).forwards]


async def test_active_forwards_are_saved_with_port_and_pause(path: Path) -> None:
    session = FakeSession()
    async with saving(session, path) as saver:
        assert not exists(path), "there was no command yet"
        forward_id = await session.start(spec("web"))
        saver.schedule_save()
        await until(lambda: names(path) == ["web"])
        assert mode(path) == 0o600
        session.update(forward_id, listening=(LocalAddress("127.0.0.1", 8080),))
        session.change(forward_id, ForwardState.READY)
        await until(lambda: session_store.load_session(path).forwards[0].spec.local_port == 8080)
        session.update(forward_id, paused=True)
        saver.keep_requested = True
        saver.schedule_save()
        await until(
            lambda: (
                session_store.load_session(path).keep_running
                and session_store.load_session(path).forwards[0].paused
            )
        )
        assert saver.has_forwards
        await session.stop(forward_id)
        saver.schedule_save()
        await until(lambda: names(path) == [])
        assert not saver.has_forwards


async def test_close_writes_pending_changes(path: Path) -> None:
    session = FakeSession()
    async with saving(session, path) as saver:
        await session.start(spec("web"))
        saver.schedule_save()
    # Closed before the scheduled write.
    assert names(path) == ["web"]


@pytest.mark.parametrize("reason", ["option", "keep_running"])
async def test_session_is_restored(path: Path, reason: str) -> None:
    saved = (SavedForward(spec("web", local_port=8080)), SavedForward(spec("db"), paused=True))
    write(path, SavedSession(keep_running=reason == "keep_running", forwards=saved))
    session = FakeSession()
    async with saving(session, path, restore=reason == "option") as saver:
        assert [one.spec for one in session.forwards.values()] == [one.spec for one in saved]
        assert [call for call in session.calls if call[0] == "pause"] == [("pause", "f2")]
        assert saver.keep_requested is (reason == "keep_running")
        assert not exists(session_store.previous_session_file(path))
        await until(lambda: names(path) == ["web", "db"])


async def test_session_that_is_not_restored_becomes_the_previous_one(path: Path) -> None:
    saved = SavedSession(forwards=(SavedForward(spec("web")),))
    write(path, saved)
    session = FakeSession()
    async with saving(session, path) as saver:
        assert not session.forwards
        await session.start(spec("other"))
        saver.schedule_save()
        await until(lambda: names(path) == ["other"])
        assert names(session_store.previous_session_file(path)) == ["web"]
    # An engine without forwards does not discard it.
    async with saving(FakeSession(), path.with_name("another.json")):
        pass
    session_store.discard_session(session_store.previous_session_file(path))
    session_store.discard_session(session_store.previous_session_file(path))
    assert names(session_store.previous_session_file(path)) == []


async def test_applied_profile_is_saved_while_active(path: Path) -> None:
    session = FakeSession()
    profile = parse_profile("forwards: {web: {target: svc/web, port: 80}}", Path("/p/shop.yaml"))
    off = parse_profile("name: off\nforwards:", Path("/p/off.yaml"))
    async with saving(session, path) as saver:
        forward_id = await session.start(profile.forwards[0].spec)
        saver.profiles.update({"shop": profile, "off": off})
        saver.schedule_save()
        await until(
            lambda: session_store.profiles_of(session_store.load_session(path)) == {"shop": profile}
        )
        with saver.transition():
            await session.stop(forward_id)
            await asyncio.sleep(0.1)
            assert session_store.load_session(path).forwards, (
                "an intermediate state is never written"
            )
            forward_id = await session.start(off_forward := spec("other", profile="off"))
        await until(
            lambda: session_store.profiles_of(session_store.load_session(path)) == {"off": off}
        )

        async def cancel_transition() -> None:
            with saver.transition():
                await session.stop(forward_id)
                raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await cancel_transition()
    # It was canceled in the transition.
    assert [one.spec for one in session_store.load_session(path).forwards] == [off_forward]
    # The next engine loads it, and so does the one after that.
    for restore in (True, False):
        async with saving(FakeSession(), path, restore=restore) as saver:
            assert saver.previous_profiles == {"off": off}
            await asyncio.sleep(0.05)
    assert session_store.profiles_of(
        session_store.load_session(session_store.previous_session_file(path))
    ) == {"off": off}


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"version": 9}', b"\xff", b"[" * 100_000])
async def test_invalid_file_is_moved(path: Path, data: bytes) -> None:
    write(path, data)
    async with saving(FakeSession(), path, restore=True):
        pass
    assert not exists(path)
    assert read(path.with_name("engine.json.bad")) == data


async def test_session_that_cannot_be_saved_is_a_problem_once_until_it_can(tmp_path: Path) -> None:
    blocked = tmp_path / "sessions"
    blocked.write_text("a file where the folder should be")
    problems: list[str] = []
    session = FakeSession()
    saver = SessionSaver(session, blocked / "engine.json", on_problem=problems.append)
    await saver.open(restore=False)
    try:
        for name in ("web", "db"):
            await session.start(spec(name))
            saver.schedule_save()
            await until(lambda: problems and not saver._dirty.is_set(), 60, "a problem")
            await saver._write()
        assert len(problems) == 1
        assert str(blocked / "engine.json") in problems[0]
        blocked.unlink()
        await saver._write()
        assert exists(blocked / "engine.json")
        assert len(problems) == 1
    finally:
        await saver.close()


async def test_stop_is_saved_when_flush_returns(path: Path) -> None:
    session = FakeSession()
    async with saving(session, path) as saver:
        ids = [await session.start(spec(name)) for name in ("web", "db", "cache")]
        saver.schedule_save()
        await saver.flush()
        assert names(path) == ["web", "db", "cache"]
        written = session_store.load_session(path).sequence

        async def stop(forward_id: str) -> list[str]:
            await session.stop(forward_id)
            saver.schedule_save()
            await saver.flush()
            return names(path)

        # Those that stop at the same time share a write.
        found = await asyncio.gather(*map(stop, ids[:2]))
        assert all("web" not in one and "db" not in one for one in found)
        assert session_store.load_session(path).sequence <= written + 2
        await saver.flush()  # nothing has changed


async def test_flush_returns_although_the_disk_does_not_respond(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_saver, "_FLUSH_S", 0.2)
    released = threading.Event()

    def hang(*args: object, **options: object) -> session_store.SaveResult:
        assert released.wait(60)
        return session_store.SaveResult()

    session = FakeSession()
    async with saving(session, path) as saver:
        monkeypatch.setattr(session_saver, "save_session", hang)
        await session.start(spec("web"))
        await saver.flush()
        released.set()


async def test_user_is_told_what_a_full_disk_means(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The notice is repeated only when the consequences change."""
    results = iter([
        session_store.SaveResult(error := OSError(errno.ENOSPC, "No space left on device")),
        session_store.SaveResult(error),
        session_store.SaveResult(error, has_fallback=True),
        session_store.SaveResult(error, is_outdated=True),
        session_store.SaveResult(error, has_fallback=True, is_outdated=True),
        session_store.SaveResult(),
    ])  # fmt: skip
    monkeypatch.setattr(session_saver, "save_session", lambda *_, **__: next(results))
    problems: list[str] = []
    session = FakeSession()
    saver = SessionSaver(session, path, on_problem=problems.append)
    await saver.open(restore=False)
    try:
        await session.start(spec("web"))
        for _ in range(5):
            await saver.flush()
            assert saver.problem == problems[-1]
        assert [one.removeprefix("active forwards cannot be saved, ") for one in problems] == [
            f"{effect}: {path}: no space left on device"
            for effect in (
                "and are lost if the engine is killed",
                "and are lost at a reboot",
                "and what was stopped may be restored by the next engine",
                "and what was stopped may be restored after a reboot",
            )
        ]
        await saver.flush()
        assert not saver.problem
    finally:
        await saver.close()


async def test_write_is_repeated_until_it_succeeds(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_saver, "_RETRY_S", 0.05)
    path.parent.write_text("a file where the folder should be")
    session = FakeSession()
    saver = SessionSaver(session, path)
    await saver.open(restore=False)
    try:
        await session.start(spec("web"))
        await saver.flush()
        assert saver.problem
        path.parent.unlink()
        await until(lambda: names(path) == ["web"])
        await until(lambda: not saver.problem)
    finally:
        await saver.close()


async def test_session_beside_the_socket_is_restored_or_becomes_the_previous_one(
    path: Path, tmp_path: Path
) -> None:
    """The file could not be written after `db` was stopped."""
    write(path, SavedSession(forwards=(SavedForward(spec("web")), SavedForward(spec("db")))))
    socket = tmp_path / "engine.sock"
    fallback = session_store.fallback_file(socket)
    latest = SavedSession(forwards=(SavedForward(spec("web")),), sequence=7)
    for restore in (True, False):
        write(fallback, latest)
        session = FakeSession()
        saver = SessionSaver(session, path, socket=str(socket))
        assert await saver.open(restore=restore) is restore
        try:
            assert [one.spec.target.name for one in session.forwards.values()] == (
                ["web"] if restore else []
            )
            if restore:
                await saver.flush()
                assert names(path) == ["web"]
            else:
                assert names(session_store.previous_session_file(path)) == ["web"]
                assert not exists(path)
            assert not exists(fallback)
            assert saver.sequence >= 7
        finally:
            await saver.close()
        write(path, SavedSession(forwards=(SavedForward(spec("db")),)))


async def test_session_that_cannot_be_moved_is_not_restored_later(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The home folder is read-only; a killed engine is restarted with `--restore`."""
    write(path, SavedSession(forwards=(SavedForward(spec("web")),)))
    socket = tmp_path / "engine.sock"

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(session_saver, "move_to_previous", refuse)
    unwritable = path.parent

    def write_atomically(target: Path, data: bytes) -> None:
        if target.parent == unwritable:
            refuse()
        target.write_bytes(data)

    monkeypatch.setattr(atomic_file, "write_atomically", write_atomically)
    monkeypatch.setattr(session_store, "_remove", lambda _: False)
    saver = SessionSaver(FakeSession(), path, socket=str(socket))
    assert not await saver.open(restore=False)
    try:
        await saver.flush()
        latest = session_store.load_latest_session(path, session_store.fallback_file(socket))
        assert not latest.forwards
        assert "what was stopped may be restored after a reboot" in saver.problem
    finally:
        await saver.close()


async def test_next_engine_knows_that_the_file_has_what_was_stopped(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The home folder is still read-only: `db` was stopped by the engine before."""
    write(path, SavedSession(forwards=(SavedForward(spec("web")), SavedForward(spec("db")))))
    socket = tmp_path / "engine.sock"
    latest = SavedSession(forwards=(SavedForward(spec("web")),), sequence=7)
    write(session_store.fallback_file(socket), latest)
    outdated: list[bool] = []

    def save(*_: object, is_outdated: bool) -> session_store.SaveResult:
        outdated.append(is_outdated)
        return session_store.SaveResult()

    monkeypatch.setattr(session_saver, "save_session", save)
    saver = SessionSaver(FakeSession(), path, socket=str(socket))
    assert await saver.open(restore=True)
    try:
        await saver.flush()
        assert outdated[0]
    finally:
        await saver.close()
