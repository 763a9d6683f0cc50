"""What is on and its file, after another engine has taken over. See also `tests/e2e/test_live`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from tests.cli.fake_session import FakeSession
from tests.support.waiting import until
from tui_forward.daemon import session_store as session_store
from tui_forward.daemon.notices import NoticeLog
from tui_forward.daemon.profile_watcher import ProfileWatcher
from tui_forward.daemon.session_store import SessionSaver
from tui_forward.model import EngineNotice
from tui_forward.profiles.store import ProfileStore
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
    """One engine after another on the same session file."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "session.json"
        self.profile = folder / "profiles" / "shop.yaml"
        self.team = folder / "work" / ".tui-forward.yaml"
        for file in (self.profile, self.team):
            file.parent.mkdir()
        self.trust = TrustStore(folder / "trusted.json")

    @asynccontextmanager
    async def running(self, *, resume: bool = True) -> AsyncIterator[Running]:
        session, notices = FakeSession(), NoticeLog()
        keeper = SessionSaver(session, self.path)
        store = ProfileStore(self.profile.parent, Path("/"))
        if await keeper.open(resume=resume):
            notices.began.set()
        live = ProfileWatcher(session, store, self.trust, notices, keeper)
        task = asyncio.create_task(live.run())
        try:
            yield Running(session, notices, keeper)
        finally:
            task.cancel()
            await keeper.close()
            await asyncio.gather(task, return_exceptions=True)

    def saved(self) -> dict[str, int]:
        """How many forwards each profile was last said to have."""
        found = session_store.profiles_of(session_store.load_session(self.path))
        return {profile.name: len(profile.forwards) for profile in found.values()}


class Running:
    def __init__(self, session: FakeSession, notices: NoticeLog, keeper: SessionSaver) -> None:
        self.session = session
        self.notices = notices
        self.keeper = keeper

    async def switch_on(self, file: Path, *, team: bool = False) -> None:
        from tui_forward.profiles.store import ProfileFile

        for one in ProfileFile(file, team).read().forwards:
            await self.session.start(one.spec)
        self.keeper.schedule_save()
        self.notices.began.set()

    def ids(self) -> dict[str, str]:
        return {one.spec.name: one.id for one in self.session.forwards.values()}

    async def told(self, text: str) -> EngineNotice:
        def found() -> list[EngineNotice]:
            return [one for one in self.notices.latest if text in one.text]

        await until(found, 10, f"{text} in {self.notices.latest}")
        return found()[0]


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path)


@pytest.fixture
async def shop(engine: Engine) -> Engine:
    """The shop is on, and no engine runs."""
    engine.profile.write_text(SHOP)
    async with engine.running() as running:
        await running.switch_on(engine.profile)
        await until(lambda: engine.saved() == {"shop": 2})
    return engine


async def test_what_was_edited_meanwhile_is_carried_out_and_told(shop: Engine) -> None:
    shop.profile.write_text(MORE.replace("sts/db", "sts/pg"))
    async with shop.running() as running:
        web = running.ids()["web"]
        notice = await running.told("+ more shop/svc/more:80, ~ db shop/sts/db:5432 → shop/sts/pg")
        assert (notice.profile, notice.is_problem) == ("shop", False)
        assert running.ids().keys() == {"web", "db", "more"}
        assert running.ids()["web"] == web
        await until(lambda: shop.saved() == {"shop": 3})
    async with shop.running() as running:
        shop.profile.write_text(SHOP)  # and so on
        await running.told("- more")
        assert len(running.notices.latest) == 1, "what was carried out is no edit any more"


async def test_what_was_stopped_by_hand_stays_off(shop: Engine) -> None:
    async with shop.running() as running:
        await running.session.stop(running.ids()["db"])
        running.keeper.schedule_save()
    shop.profile.write_text(MORE.replace("15432", "25432"))
    async with shop.running() as running:
        await running.told("+ more")
        assert running.ids().keys() == {"web", "more"}


async def test_what_was_offered_and_brought_back_is_compared_as_well(shop: Engine) -> None:
    shop.profile.write_text(MORE)
    async with shop.running(resume=False) as running:
        assert not running.session.forwards
        previous = session_store.load_session(session_store.previous_session_file(shop.path))
        await session_store.restore(running.session, previous)
        session_store.discard_session(session_store.previous_session_file(shop.path))
        running.keeper.schedule_save()
        running.notices.began.set()
        await running.told("+ more")


async def test_a_bad_edit_meanwhile_is_told_with_its_place_and_changes_nothing(
    shop: Engine,
) -> None:
    for _ in range(2):  # each engine says so, for its notices end with it
        shop.profile.write_text(SHOP.replace("port: http", "prot: http"))
        async with shop.running() as running:
            notice = await running.told("shop.yaml:4:29: unknown key `prot`")
            assert notice.is_problem
            assert running.ids().keys() == {"web", "db"}
    shop.profile.unlink()
    async with shop.running() as running:
        assert (await running.told("no such file; its forwards stay")).profile == "shop"
        shop.profile.write_text(MORE)
        await running.told("+ more")


async def test_somebody_elses_edit_meanwhile_waits_for_a_yes(engine: Engine) -> None:
    engine.team.write_text(SHOP)
    engine.trust.trust(engine.team, SHOP)
    async with engine.running() as running:
        await running.switch_on(engine.team, team=True)
        await until(lambda: engine.saved() == {"work": 2})
    engine.team.write_text(MORE)
    async with engine.running() as running:
        assert (await running.told("has changed; look at it and agree")).profile == "work"
        assert running.ids().keys() == {"web", "db"}
    assert engine.saved() == {"work": 2}
    engine.trust.trust(engine.team, MORE)
    async with engine.running() as running:
        await running.told("+ more")


async def test_a_session_that_knows_no_profiles_touches_nothing(shop: Engine) -> None:
    known = session_store.load_session(shop.path)
    shop.path.write_bytes(msgspec.json.encode(msgspec.structs.replace(known, profiles=())))
    shop.profile.write_text(MORE)
    async with shop.running() as running:
        await until(lambda: shop.saved() == {"shop": 3})
        assert running.ids().keys() == {"web", "db"}


async def test_what_is_half_written_is_no_edit(shop: Engine) -> None:
    async with shop.running() as running:
        ids = running.ids()
        for number in range(60):  # a slow program; the half is a valid profile by itself
            shop.profile.write_text(f"# {number}\nforwards:\n")
            await asyncio.sleep(0.01)
            shop.profile.write_text(f"# {number}\n{SHOP}")
            await asyncio.sleep(0.01)
        shop.profile.write_text(MORE)
        await running.told("+ more")
        assert running.ids().items() >= ids.items()
        assert len(running.notices.latest) == 1
