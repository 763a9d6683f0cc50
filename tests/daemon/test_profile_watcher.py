"""Active profiles and their files across engines. See also `tests/e2e/test_profile_edits`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from tests.cli.fake_session import FakeSession
from tests.support.waiting import until
from tui_forward.daemon import profile_watcher, session_store
from tui_forward.daemon.notices import NoticeLog
from tui_forward.daemon.profile_watcher import ProfileWatcher
from tui_forward.daemon.session_saver import SessionSaver
from tui_forward.model import EngineNotice
from tui_forward.profiles.store import ProfileFile, ProfileStore
from tui_forward.profiles.trust import TrustStore

SHOP = """\
namespace: shop
context: here
forwards:
  web: {target: deploy/web, port: http}
  db: {target: sts/db, port: 5432, local: 15432}
"""
MORE = SHOP + "  more: {target: svc/more, port: 80}\n"


class Engine:
    """Engines that use the same session file, one after another."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "session.json"
        self.profile = folder / "profiles" / "shop.yaml"
        self.team = folder / "work" / ".tui-forward.yaml"
        for file in (self.profile, self.team):
            file.parent.mkdir()
        self.trust = TrustStore(folder / "trusted.json")

    @asynccontextmanager
    async def running(self, *, restore: bool = True) -> AsyncIterator[Running]:
        session, notices = FakeSession(), NoticeLog()
        saver = SessionSaver(session, self.path)
        store = ProfileStore(self.profile.parent, Path("/"))
        if await saver.open(restore=restore):
            notices.profiles_changed.set()
        watcher = ProfileWatcher(session, store, self.trust, notices, saver)
        task = asyncio.create_task(watcher.run())
        try:
            yield Running(session, notices, saver)
        finally:
            task.cancel()
            await saver.close()
            await asyncio.gather(task, return_exceptions=True)

    def saved(self) -> dict[str, int]:
        """Return the number of forwards of each saved profile."""
        found = session_store.profiles_of(session_store.load_session(self.path))
        return {profile.name: len(profile.forwards) for profile in found.values()}


class Running:
    def __init__(self, session: FakeSession, notices: NoticeLog, saver: SessionSaver) -> None:
        self.session = session
        self.notices = notices
        self.saver = saver

    async def start_profile(self, file: Path, *, team: bool = False) -> None:
        for one in ProfileFile(file, team).read().forwards:
            await self.session.start(one.spec)
        self.saver.schedule_save()
        self.notices.profiles_changed.set()

    def ids(self) -> dict[str, str]:
        return {one.spec.name: one.id for one in self.session.forwards.values()}

    async def wait_notice(self, text: str) -> EngineNotice:
        def found() -> list[EngineNotice]:
            return [one for one in self.notices.latest if text in one.text]

        await until(found, 60, f"{text} in {self.notices.latest}")
        return found()[0]


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path)


@pytest.fixture
async def shop(engine: Engine) -> Engine:
    """Engine that has ended with the profile `shop` active."""
    engine.profile.write_text(SHOP)
    async with engine.running() as running:
        await running.start_profile(engine.profile)
        await until(lambda: engine.saved() == {"shop": 2})
    return engine


async def test_edit_without_an_engine_is_applied_and_reported(shop: Engine) -> None:
    shop.profile.write_text(MORE.replace("sts/db", "sts/pg"))
    async with shop.running() as running:
        web = running.ids()["web"]
        notice = await running.wait_notice(
            "+ more shop/svc/more:80, ~ db shop/sts/db:5432 → shop/sts/pg"
        )
        assert (notice.profile, notice.is_problem) == ("shop", False)
        assert running.ids().keys() == {"web", "db", "more"}
        assert running.ids()["web"] == web
        await until(lambda: shop.saved() == {"shop": 3})
    async with shop.running() as running:
        shop.profile.write_text(SHOP)
        await running.wait_notice("- more")
        assert len(running.notices.latest) == 1, "an applied edit is not applied again"


async def test_forward_that_the_user_stopped_is_not_started(shop: Engine) -> None:
    async with shop.running() as running:
        await running.session.stop(running.ids()["db"])
        running.saver.schedule_save()
    shop.profile.write_text(MORE.replace("15432", "25432"))
    async with shop.running() as running:
        await running.wait_notice("+ more")
        assert running.ids().keys() == {"web", "more"}


async def test_profile_of_a_restored_session_is_compared(shop: Engine) -> None:
    shop.profile.write_text(MORE)
    async with shop.running(restore=False) as running:
        assert not running.session.forwards
        previous = session_store.load_session(session_store.previous_session_file(shop.path))
        await session_store.restore(running.session, previous)
        session_store.discard_session(session_store.previous_session_file(shop.path))
        running.saver.schedule_save()
        running.notices.profiles_changed.set()
        await running.wait_notice("+ more")


async def test_invalid_edit_is_reported_and_changes_nothing(
    shop: Engine,
) -> None:
    for _ in range(2):  # each engine reports it, because notices are not saved
        shop.profile.write_text(SHOP.replace("port: http", "prot: http"))
        async with shop.running() as running:
            notice = await running.wait_notice("shop.yaml:4:29: unknown key `prot`")
            assert notice.is_problem
            assert running.ids().keys() == {"web", "db"}
    shop.profile.unlink()
    async with shop.running() as running:
        assert (
            await running.wait_notice("no such file; its forwards are unchanged")
        ).profile == "shop"
        shop.profile.write_text(MORE)
        await running.wait_notice("+ more")


async def test_edit_of_an_untrusted_profile_is_not_applied(engine: Engine) -> None:
    engine.team.write_text(SHOP)
    engine.trust.trust(engine.team, SHOP)
    async with engine.running() as running:
        await running.start_profile(engine.team, team=True)
        await until(lambda: engine.saved() == {"work": 2})
    engine.team.write_text(MORE)
    async with engine.running() as running:
        assert (await running.wait_notice("has changed; review and trust it")).profile == "work"
        assert running.ids().keys() == {"web", "db"}
    assert engine.saved() == {"work": 2}
    engine.trust.trust(engine.team, MORE)
    async with engine.running() as running:
        await running.wait_notice("+ more")


async def test_edit_behind_a_link_in_the_own_folder_is_not_applied(engine: Engine) -> None:
    """`git pull` in a repository that a profile of the user is a link into."""
    engine.team.write_text(SHOP)
    link = engine.profile.with_name("linked.yaml")
    link.symlink_to(engine.team)
    engine.trust.trust(link, SHOP)
    async with engine.running() as running:
        await running.start_profile(link)
        await until(lambda: engine.saved() == {"linked": 2})
        engine.team.write_text(MORE)
        await running.wait_notice("has changed; review and trust it")
        assert running.ids().keys() == {"web", "db"}


async def test_profile_that_is_not_saved_changes_nothing(shop: Engine) -> None:
    known = session_store.load_session(shop.path)
    shop.path.write_bytes(msgspec.json.encode(msgspec.structs.replace(known, profiles=())))
    shop.profile.write_text(MORE)
    async with shop.running() as running:
        await until(lambda: shop.saved() == {"shop": 3})
        assert running.ids().keys() == {"web", "db"}


async def test_half_written_file_is_not_applied(
    shop: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Longer than any pause of the writer below, also on a busy machine.
    monkeypatch.setattr(profile_watcher, "_SETTLE_S", 1.0)
    async with shop.running() as running:
        ids = running.ids()
        for number in range(30):  # a slow writer; the first half is a valid profile
            shop.profile.write_text(f"# {number}\nforwards:\n")
            await asyncio.sleep(0.01)
            shop.profile.write_text(f"# {number}\n{SHOP}")
            await asyncio.sleep(0.01)
        shop.profile.write_text(MORE)
        await running.wait_notice("+ more")
        assert running.ids().items() >= ids.items()
        assert len(running.notices.latest) == 1


async def test_edit_of_the_proxy_is_applied(tmp_path: Path) -> None:
    engine = Engine(tmp_path)
    text = "context: here\nnamespace: shop\nforwards: {}\nproxy: 1080\n"
    engine.profile.write_text(text)
    async with engine.running() as running:
        spec = ProfileFile(engine.profile).read().proxy
        assert spec is not None
        await running.session.start_proxy(spec)
        running.saver.schedule_save()
        running.notices.profiles_changed.set()
        await until(lambda: "shop" in running.saver.profiles)
        engine.profile.write_text(text.replace("1080", "1081"))
        await until(lambda: [p.spec.port for p in running.session.proxies.values()] == [1081])
        engine.profile.write_text(text.replace("proxy: 1080", ""))
        await until(lambda: not running.session.proxies)
