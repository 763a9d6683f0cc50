"""Rounds of measurements, in which the forwarders take turns.

What the machine does at the moment hits them alike. A forwarder that does not start, dies or fails
leaves cells empty and a sentence why; it never ends the benchmark.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from tests.bench.result_table import say

_MAX_REASON = 160


class Process(Protocol):
    """A forwarder that runs."""

    @property
    def alive(self) -> bool:
        """Return whether the process runs."""

    def stop(self) -> None:
        """Stop it."""


P = TypeVar("P", bound=Process)


@dataclass(frozen=True)
class Section(Generic[P]):
    """Measurements of one process.

    Attributes:
        name: What `--only` calls it.
        measure: Yields figures by row, of a process that was just started; may raise OSError or
            RuntimeError.
    """

    name: str
    measure: Callable[[P], Mapping[str, float]]


class Rounds(Generic[P]):
    """Samples of all forwarders, and why some are missing.

    `start` starts a forwarder by its name; it may raise OSError or RuntimeError.
    """

    def __init__(self, names: Sequence[str], start: Callable[[str], P]) -> None:
        self.names = names
        self.samples: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        self.failures: dict[str, list[str]] = defaultdict(list)
        self._start = start
        self._absent: set[str] = set()  # those that did not start

    def run(self, section: Section[P], rounds: int, names: Sequence[str] | None = None) -> None:
        """Measure a section in rounds; in each, all forwarders (or these) take a turn."""
        for turn in range(rounds):
            say(f"{section.name}, round {turn + 1} of {rounds}")
            for name in self.names if names is None else names:
                if name not in self._absent:
                    self._take_turn(section, name)

    def _take_turn(self, section: Section[P], name: str) -> None:
        try:
            running = self._start(name)
        except (OSError, RuntimeError) as error:
            self._absent.add(name)
            self._fail(name, f"did not start for {section.name}: {_reason(error)}")
            return
        try:
            for row, figure in section.measure(running).items():
                self.samples[row][name].append(figure)
        except (OSError, RuntimeError) as error:
            died = "" if running.alive else ", and ended"
            self._fail(name, f"failed in {section.name}{died}: {_reason(error)}")
        finally:
            running.stop()

    def _fail(self, name: str, sentence: str) -> None:
        say(f"{name} {sentence}")
        if sentence not in self.failures[name]:
            self.failures[name].append(sentence)


def _reason(error: BaseException) -> str:
    """Return an error as part of a sentence."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _MAX_REASON else f"{text[:_MAX_REASON]}…"
