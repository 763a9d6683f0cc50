from __future__ import annotations

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from tui_forward.engine.tunnels.flow_control import (
    PING_BYTES,
    PING_FRAMES,
    QUEUE_FRAMES,
    WINDOW_BYTES,
    WINDOW_FRAMES,
    WORKERS,
    WorkerWindow,
    WorkerWindows,
)


def test_window_requests_a_ping_early_and_fills() -> None:
    window = WorkerWindow()
    for _ in range(PING_FRAMES - 1):
        assert not window.sent(1)
    assert window.sent(1)
    window.record_ping(1, 0.0)
    for _ in range(WINDOW_FRAMES - PING_FRAMES - 1):
        window.sent(1)
        assert not window.full
    window.sent(1)
    assert window.full


def test_window_counts_bytes() -> None:
    window = WorkerWindow()
    assert window.sent(PING_BYTES)
    window.sent(WINDOW_BYTES - PING_BYTES)
    assert window.full


def test_pong_acknowledges_what_was_sent_before_its_ping() -> None:
    window = WorkerWindow()
    window.sent(100)
    window.record_ping(7, 1.5)
    window.sent(10)
    assert window.unacked_bytes == 110
    assert window.record_pong(9) is None
    assert window.record_pong(7) == 1.5
    assert window.unacked_bytes == 10
    assert not window.unanswered


def test_full_window_opens_when_half_is_acknowledged() -> None:
    window = WorkerWindow()
    for number in range(WINDOW_FRAMES):
        if window.sent(1):
            window.record_ping(number, 0.0)
    assert window.full
    for ping, *_ in list(window.unanswered):
        window.record_pong(ping)
    assert not window.full


def test_pings_go_to_the_workers_in_turn() -> None:
    windows = WorkerWindows()
    pinged = []
    for ping in range(2 * WORKERS):
        next_window = windows.next_pinged
        assert windows.record_ping(ping, 0.0) is next_window
        pinged.append(windows.all.index(next_window))
    assert pinged == [0, 1, 2, 3, 4] * 2


def test_five_pairs_are_placed_on_separate_workers() -> None:
    windows = WorkerWindows()
    next_id = 1
    for _ in range(WORKERS):
        next_id += 4 * windows.stream_ids_to_skip(next_id, slow_before=0.0)
        windows.window_for(next_id + 2).open_streams += 1
        next_id += 4
    assert [window.open_streams for window in windows.all] == [1] * WORKERS


def test_stopped_worker_is_avoided_by_both_streams_of_a_pair() -> None:
    windows = WorkerWindows()
    stopped = windows.all[2]
    stopped.record_ping(1, at := 5.0)
    for next_id in range(1, 41, 2):
        start = next_id + 4 * windows.stream_ids_to_skip(next_id, slow_before=at + 1)
        assert stopped not in (windows.window_for(start), windows.window_for(start + 2))
    assert windows.any_stopped(at + 1)
    assert not windows.any_stopped(at)


def test_acknowledge_all_resets_the_windows() -> None:
    windows = WorkerWindows()
    for _ in range(WINDOW_FRAMES):
        windows.all[0].sent(1)
    windows.acknowledge_all()
    assert not windows.all[0].full
    assert windows.all[0].unacked_bytes == 0


def test_oldest_unanswered_ping_is_reported() -> None:
    windows = WorkerWindows()
    assert windows.oldest_ping_at is None
    windows.record_ping(1, 3.0)
    windows.record_ping(3, 4.0)
    assert windows.oldest_ping_at == 3.0
    windows.all[0].record_pong(1)
    assert windows.oldest_ping_at == 4.0


@given(st.lists(st.sampled_from(["send", "work", "stop", "go"]), max_size=400))
def test_queue_of_a_worker_never_fills(moves: list[str]) -> None:
    """A model of one worker: frames and PINGs queue, and are worked off in order."""
    window = WorkerWindow()
    queue: deque[int] = deque()  # ids of PINGs, 0 for DATA
    stopped = False
    next_ping = 1
    for move in moves:
        if move == "send" and not window.full:
            is_due = window.sent(1000)
            if is_due:
                window.record_ping(next_ping, 0.0)
            queue.append(0)
            if is_due:
                queue.append(next_ping)
                next_ping += 2
        elif move == "work" and not stopped:
            while queue:
                ping = queue.popleft()
                if ping:
                    window.record_pong(ping)
        elif move == "stop":
            stopped = True
        elif move == "go":
            stopped = False
        assert len(queue) <= QUEUE_FRAMES
    while queue:
        ping = queue.popleft()
        if ping:
            window.record_pong(ping)
    assert not window.full
