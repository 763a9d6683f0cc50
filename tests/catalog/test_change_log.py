from __future__ import annotations

from tui_forward.catalog.change_log import ChangeLog, next_version


def test_versions_grow_across_logs() -> None:
    one, two = ChangeLog(), ChangeLog()
    assert one.version < two.version < next_version()
    one.record("a")
    assert one.version > two.version


def test_changes_since_a_version_latest_first() -> None:
    log = ChangeLog()
    start = log.version
    log.record("a")
    middle = log.version
    log.record("b")
    log.record("a")
    assert list(log.since(start)) == ["a", "b"]
    assert list(log.since(middle)) == ["a", "b"]
    assert list(log.since(log.version)) == []
    log.bump_version()
    assert list(log.since(middle)) == ["a", "b"]
    assert log.version > middle


def test_covered_versions() -> None:
    log = ChangeLog()
    start = log.version
    log.record("a")
    assert log.covers(start)
    assert log.covers(log.version)
    assert not log.covers(0)
    assert not log.covers(start - 1)
    assert not log.covers(log.version + 1)


def test_log_is_bounded() -> None:
    log = ChangeLog(limit=3)
    start = log.version
    for key in "abc":
        log.record(key)
    after_a = next(iter(log._changed.values()))
    assert log.covers(start)
    log.record("d")
    assert not log.covers(start)
    assert log.covers(after_a)
    assert list(log.since(after_a)) == ["d", "c", "b"]
    for _ in range(100):
        log.record("d")
    assert log.covers(after_a)
