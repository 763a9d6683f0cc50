from __future__ import annotations

from tui_forward.catalog.change_log import ChangeLog, next_version


def test_versions_grow_over_all_logs() -> None:
    one, two = ChangeLog(), ChangeLog()
    assert one.version < two.version < next_version()
    one.note("a")
    assert one.version > two.version


def test_changes_since_a_version_latest_first() -> None:
    log = ChangeLog()
    start = log.version
    log.note("a")
    middle = log.version
    log.note("b")
    log.note("a")
    assert list(log.since(start)) == ["a", "b"]
    assert list(log.since(middle)) == ["a", "b"]
    assert list(log.since(log.version)) == []
    log.touch()
    assert list(log.since(middle)) == ["a", "b"]
    assert log.version > middle


def test_what_a_log_can_answer() -> None:
    log = ChangeLog()
    start = log.version
    log.note("a")
    assert log.reaches(start)
    assert log.reaches(log.version)
    assert not log.reaches(0)
    assert not log.reaches(start - 1)
    assert not log.reaches(log.version + 1)


def test_a_log_is_bounded() -> None:
    log = ChangeLog(limit=3)
    start = log.version
    for key in "abc":
        log.note(key)
    after_a = next(iter(log._changed.values()))
    assert log.reaches(start)
    log.note("d")
    assert not log.reaches(start)
    assert log.reaches(after_a)
    assert list(log.since(after_a)) == ["d", "c", "b"]
    for _ in range(100):
        log.note("d")
    assert log.reaches(after_a)
