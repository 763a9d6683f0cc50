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


def test_a_lane_asks_early_and_is_full_at_the_window() -> None:
    lane = WorkerWindow()
    for _ in range(PING_FRAMES - 1):
        assert not lane.sent(1)
    assert lane.sent(1)
    lane.record_ping(1, 0.0)
    for _ in range(WINDOW_FRAMES - PING_FRAMES - 1):
        lane.sent(1)
        assert not lane.full
    lane.sent(1)
    assert lane.full


def test_a_lane_counts_bytes_as_well() -> None:
    lane = WorkerWindow()
    assert lane.sent(PING_BYTES)
    lane.sent(WINDOW_BYTES - PING_BYTES)
    assert lane.full


def test_an_answer_acknowledges_what_was_sent_before_the_question() -> None:
    lane = WorkerWindow()
    lane.sent(100)
    lane.record_ping(7, 1.5)
    lane.sent(10)
    assert lane.unacked_bytes == 110
    assert lane.record_pong(9) is None
    assert lane.record_pong(7) == 1.5
    assert lane.unacked_bytes == 10
    assert not lane.unanswered


def test_a_full_lane_opens_again_when_half_is_acknowledged() -> None:
    lane = WorkerWindow()
    for number in range(WINDOW_FRAMES):
        if lane.sent(1):
            lane.record_ping(number, 0.0)
    assert lane.full
    for ping, *_ in list(lane.unanswered):
        lane.record_pong(ping)
    assert not lane.full


def test_pings_go_to_the_workers_in_turn() -> None:
    lanes = WorkerWindows()
    asked = []
    for ping in range(2 * WORKERS):
        following = lanes.next_pinged
        assert lanes.record_ping(ping, 0.0) is following
        asked.append(lanes.all.index(following))
    assert asked == [0, 1, 2, 3, 4] * 2


def test_five_connections_in_a_row_have_workers_of_their_own() -> None:
    lanes = WorkerWindows()
    next_id = 1
    for _ in range(WORKERS):
        next_id += 4 * lanes.stream_ids_to_skip(next_id, slow_before=0.0)
        lanes.window_for(next_id + 2).open_streams += 1
        next_id += 4
    assert [lane.open_streams for lane in lanes.all] == [1] * WORKERS


def test_a_stopped_worker_is_avoided_by_both_streams_of_a_pair() -> None:
    lanes = WorkerWindows()
    stopped = lanes.all[2]
    stopped.record_ping(1, at := 5.0)
    for next_id in range(1, 41, 2):
        start = next_id + 4 * lanes.stream_ids_to_skip(next_id, slow_before=at + 1)
        assert stopped not in (lanes.window_for(start), lanes.window_for(start + 2))
    assert lanes.any_stopped(at + 1)
    assert not lanes.any_stopped(at)


def test_forgiving_begins_the_count_anew() -> None:
    lanes = WorkerWindows()
    for _ in range(WINDOW_FRAMES):
        lanes.all[0].sent(1)
    lanes.acknowledge_all()
    assert not lanes.all[0].full
    assert lanes.all[0].unacked_bytes == 0


def test_the_oldest_question() -> None:
    lanes = WorkerWindows()
    assert lanes.oldest_ping_at is None
    lanes.record_ping(1, 3.0)
    lanes.record_ping(3, 4.0)
    assert lanes.oldest_ping_at == 3.0
    lanes.all[0].record_pong(1)
    assert lanes.oldest_ping_at == 4.0


@given(st.lists(st.sampled_from(["send", "work", "stop", "go"]), max_size=400))
def test_the_queue_of_a_worker_never_fills_whatever_it_does(moves: list[str]) -> None:
    """A model of one worker: frames and PINGs queue, and are worked off in order."""
    lane = WorkerWindow()
    queue: deque[int] = deque()  # ids of PINGs, 0 for DATA
    stopped = False
    next_ping = 1
    for move in moves:
        if move == "send" and not lane.full:
            ask = lane.sent(1000)
            if ask:
                lane.record_ping(next_ping, 0.0)
            queue.append(0)
            if ask:
                queue.append(next_ping)
                next_ping += 2
        elif move == "work" and not stopped:
            while queue:
                ping = queue.popleft()
                if ping:
                    lane.record_pong(ping)
        elif move == "stop":
            stopped = True
        elif move == "go":
            stopped = False
        assert len(queue) <= QUEUE_FRAMES
    while queue:
        ping = queue.popleft()
        if ping:
            lane.record_pong(ping)
    assert not lane.full
