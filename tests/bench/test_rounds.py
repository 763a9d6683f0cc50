from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tests.bench.rounds import Rounds, Section


@dataclass
class FakeProcess:
    name: str
    log: list[str]
    alive: bool = True

    def stop(self) -> None:
        self.log.append(f"stop {self.name}")


class Bench:
    """Forwarders a, b and c, of which some fail."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.start_errors: dict[str, Exception] = {}
        self.errors: dict[str, Exception] = {}
        self.rounds: Rounds[FakeProcess] = Rounds(("a", "b", "c"), self._start)

    def _start(self, name: str) -> FakeProcess:
        if name in self.start_errors:
            raise self.start_errors[name]
        return FakeProcess(name, self.log)

    def measure(self, running: FakeProcess) -> Mapping[str, float]:
        self.log.append(running.name)
        if running.name in self.errors:
            running.alive = False
            raise self.errors[running.name]
        return {"upload": float(len(self.log))}

    def run(self, rounds: int) -> None:
        self.rounds.run(Section("speed", self.measure), rounds)


def test_forwarders_take_turns() -> None:
    bench = Bench()
    bench.run(2)
    assert [one for one in bench.log if " " not in one] == ["a", "b", "c"] * 2
    assert [len(bench.rounds.samples["upload"][name]) for name in "abc"] == [2, 2, 2]
    assert not bench.rounds.failures


def test_forwarder_that_does_not_start_is_named_once() -> None:
    bench = Bench()
    bench.start_errors["b"] = RuntimeError("ended with exit code 1\nbefore it forwarded")
    bench.run(3)
    assert bench.rounds.failures == {
        "b": ["did not start for speed: ended with exit code 1 before it forwarded"]
    }
    assert len(bench.rounds.samples["upload"]["c"]) == 3
    bench.run(1)  # it is not started again
    assert "b" not in bench.log


def test_forwarder_that_dies_leaves_its_cells_empty() -> None:
    bench = Bench()
    bench.errors["a"] = ConnectionResetError("reset")
    bench.run(2)
    assert bench.rounds.failures == {"a": ["failed in speed, and ended: reset"]}
    assert "a" not in bench.rounds.samples["upload"]
    assert bench.log.count("stop a") == 2


def test_long_reasons_are_cut() -> None:
    bench = Bench()
    bench.errors["a"] = OSError("x" * 1000)
    bench.run(1)
    assert len(bench.rounds.failures["a"][0]) < 250
