"""Work in the background lets keys and their frames go first."""

from __future__ import annotations

import asyncio
import os

import msgspec
import pytest
from textual import events

from tests.cli.fake_session import until
from tests.tui.app_harness import running, shows
from tests.tui.samples import SHOP, pod
from tests.tui.samples import shop as shop_session
from tui_forward.model import CatalogView, ResourceStatus
from tui_forward.tui.textual_internals import input_priority
from tui_forward.tui.textual_internals.input_priority import InputPriority
from tui_forward.tui.viewmodel.entry_list import EntryList

PODS = 10_000


async def test_nothing_waits_without_input() -> None:
    priority = InputPriority(lambda: 1.0)
    await asyncio.wait_for(priority.wait(), 5)


async def test_work_waits_for_the_frame_after_a_key() -> None:
    priority = InputPriority(lambda: 1.0)  # the limit is never reached
    priority.note_arrival()
    waiting = asyncio.create_task(priority.wait())
    priority.note_painted()  # of something else: the key has not been handled
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    priority.note_handled()
    priority.note_painted()
    await asyncio.wait_for(waiting, 5)
    await asyncio.wait_for(priority.wait(), 5)


async def test_work_waits_for_a_key_that_is_read_only_now() -> None:
    priority, loop = InputPriority(lambda: 1.0), asyncio.get_running_loop()
    receiver, sender = os.pipe()
    loop.add_reader(receiver, priority.note_arrival)

    async def work() -> None:
        os.write(sender, b"j")  # during a part of the work
        await priority.wait()

    waiting = asyncio.create_task(work())
    for _ in range(5):
        await asyncio.sleep(0)
    loop.remove_reader(receiver)
    assert not waiting.done()
    priority.note_handled()
    priority.note_painted()
    await asyncio.wait_for(waiting, 5)
    os.close(receiver)
    os.close(sender)


async def test_key_that_changes_nothing_delays_work_for_a_moment_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(input_priority, "_MAX_WAIT_S", 0.001)
    priority = InputPriority()
    priority.note_arrival()
    priority.note_handled()
    await asyncio.wait_for(priority.wait(), 5)


async def test_key_during_an_update_of_10_000_pods_is_handled_and_painted_before_it_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(input_priority, "_MAX_WAIT_S", 60.0)
    session = shop_session()
    many = tuple(pod(f"web-{number:05d}") for number in range(PODS))
    synced = (ResourceStatus(resource="pods", synced=True),)
    session.views[SHOP] = CatalogView(
        scope=SHOP, version=1, complete=True, pods=many, resources=synced
    )
    async with running(session, (80, 24)) as (app, _pilot):
        await shows(app, "web-00000", "web-00001")
        table = app.dashboard.tables.entries
        seen: list[tuple[str | None, int]] = []  # the cursor and the frames, after each part
        frames = 0
        merge, display = EntryList.merge, app._display

        def note(entries: EntryList) -> None:
            merge(entries)
            if not seen:
                app.receive(events.Key("down", None))
            seen.append((table.cursor, frames))

        def count(screen: object, renderable: object) -> None:
            nonlocal frames
            frames += renderable is not None
            display(screen, renderable)  # type: ignore[arg-type]

        monkeypatch.setattr(app, "_display", count)
        monkeypatch.setattr(EntryList, "merge", note)
        session.views[SHOP] = CatalogView(
            scope=SHOP, version=2, complete=False, resources=synced,
            pods=tuple(msgspec.structs.replace(one, restarts=1) for one in many),
        )  # fmt: skip
        await until(lambda: len(seen) > PODS // 100)
        (before, frames_before), (after, frames_after) = seen[:2]
        assert (before, after) == ("pod/shop/web-00000", "pod/shop/web-00001")
        assert frames_after > frames_before, "painted before the next part"
        await until(lambda: app.cluster_state.version == 2)
