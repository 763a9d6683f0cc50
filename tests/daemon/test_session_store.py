from __future__ import annotations

from pathlib import Path

import msgspec

from tests.cli.fake_session import FakeSession
from tui_forward.daemon import session_store
from tui_forward.daemon.session_store import SavedForward, SavedSession
from tui_forward.errors import ForwardError
from tui_forward.model import (
    Forward,
    ForwardSpec,
    ForwardState,
    LocalAddress,
    ProxyInfo,
    ProxySpec,
    ReasonCode,
    Target,
    TargetKind,
)
from tui_forward.profiles.profile import Profile


def spec(name: str) -> ForwardSpec:
    target = Target(
        context="here", namespace="shop", kind=TargetKind.DEPLOYMENT, name=name, port="80"
    )
    return ForwardSpec(target=target)


async def test_forward_that_cannot_start_does_not_prevent_others() -> None:
    def reject(session: FakeSession, forward_id: str) -> None:
        if session.forwards[forward_id].spec.target.name == "bad":
            del session.forwards[forward_id]
            raise ForwardError("no")

    session = FakeSession(reject)
    saved = SavedSession(forwards=(SavedForward(spec("bad")), SavedForward(spec("web"))))
    errors = await session_store.restore(session, saved)
    assert [str(error) for error in errors] == ["no"]
    assert [one.spec.target.name for one in session.forwards.values()] == ["web"]


def test_file_without_profiles_is_read(tmp_path: Path) -> None:
    path = tmp_path / "engine.json"
    path.write_bytes(b'{"version":1,"keep_running":true,"forwards":[],"profiles_of_tomorrow":[]}')
    assert session_store.load_session(path) == SavedSession(keep_running=True)


def test_invalid_file_is_empty_and_moved(tmp_path: Path) -> None:
    path = tmp_path / "engine.json"
    path.write_bytes(b"{")
    assert session_store.load_session(path) == session_store.EMPTY_SESSION
    assert path.with_name("engine.json.bad").read_bytes() == b"{"


def test_discard_is_idempotent(tmp_path: Path) -> None:
    path = tmp_path / "engine.json"
    path.write_bytes(b"{}")
    session_store.discard_session(path)
    session_store.discard_session(path)
    assert not path.exists()


def test_proxies_are_saved_and_what_they_have_opened_is_not() -> None:
    info = ProxyInfo(
        id="p1", spec=ProxySpec(context="here", port=0), listening=(LocalAddress("::1", 1080),)
    )
    opened = Forward(
        id="f1",
        spec=msgspec.structs.replace(spec("web"), proxy="p1"),
        state=ForwardState.READY,
        code=ReasonCode.FORWARD_READY,
        reason="",
    )
    saved = session_store.to_saved([opened], keep_running=True, proxies=[info])
    assert saved.forwards == ()
    (proxy,) = saved.proxies
    assert (proxy.id, proxy.spec.port) == ("p1", 1080)
    assert not saved.is_empty
    assert session_store.EMPTY_SESSION.is_empty


def test_blocked_proxy_is_saved_with_its_profile() -> None:
    spec = ProxySpec(context="here", port=1080, profile="shop")
    shop = Profile(name="shop", file=Path("/shop.yaml"), proxy=spec)
    saved = session_store.to_saved(
        (), [shop], keep_running=True, proxies=[ProxyInfo(id="p1", spec=spec)]
    )
    assert [one.spec for one in saved.proxies] == [spec]
    assert session_store.profiles_of(saved) == {"shop": shop}
