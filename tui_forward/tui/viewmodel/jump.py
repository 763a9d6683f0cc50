"""What `:` finds: forwards, local ports, objects of the cluster, and commands. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import msgspec

from tui_forward.model import NO_OPTIONS, AccessOptions, Forward
from tui_forward.tui.viewmodel.cluster_state import ClusterState
from tui_forward.tui.viewmodel.entries import entry_of
from tui_forward.tui.viewmodel.filter_query import fuzzy_score
from tui_forward.tui.viewmodel.forward_names import forward_name
from tui_forward.tui.viewmodel.rows import local_text, state_cell

MAX_OPTIONS: Final = 10
_MAX_OF_KIND: Final = 5
_MAX_SCORED: Final = 20_000  # objects


class Command(msgspec.Struct, frozen=True):
    """A command: its name, and names that it takes, if any."""

    name: str
    words: str  # what it does
    takes: str = ""  # "context", "namespace", "theme" or "scope"


COMMAND: Final = "command"  # kind of an option
ALL: Final = "all"  # `:fwd all`: forwards of other engines, too
COMMANDS: Final = (
    Command("ctx", "switch context", "context"), Command("ns", "switch namespace", "namespace"),
    Command("wl", "show workloads"), Command("po", "show pods"), Command("svc", "show services"),
    Command("fwd", "go to the forwards; all: of other kubeconfigs", "scope"),
    Command("conns", "go to the connections"),
    Command("top", "show top talkers"), Command("log", "show the engine log"),
    Command("profiles", "show the profiles"), Command("proxy", "start the cluster proxy"),
    Command("doctor", "test each hop"),
    Command("theme", "change the theme", "theme"),
    Command("q", "quit"),
)  # fmt: skip


class JumpOption(msgspec.Struct, frozen=True):
    """One line of the list."""

    kind: str  # "forward", "pod", "service", "workload" or "command"
    name: str
    place: str = ""
    detail: str = ""
    # Id of a forward, key of an object, or the command with the whole name of a context.
    value: str = ""
    mark: str = ""  # symbol of a forward's state

    @property
    def completion(self) -> str:
        """What Tab makes of the typed text."""
        return self.value if self.kind == COMMAND else self.name


class JumpSources(msgspec.Struct, frozen=True):
    """Where names come from."""

    forwards: Sequence[Forward] = ()
    cluster: ClusterState | None = None
    contexts: Sequence[str] = ()
    themes: Sequence[str] = ()
    shown_name: Callable[[str, AccessOptions], str] = lambda context, _options: context


def jump_options(text: str, sources: JumpSources) -> list[JumpOption]:
    """Return what a typed text may mean, best first: at most `MAX_OPTIONS`."""
    typed = text.strip().lower()
    word, _, rest = typed.partition(" ")
    command = next((one for one in COMMANDS if one.name == word), None)
    if command is not None and (rest or text.endswith(" ")) and command.takes:
        return list(_arguments(command, rest, sources))[:MAX_OPTIONS]
    if not typed:
        return [_command_option(one) for one in COMMANDS][:MAX_OPTIONS]
    exact = [_command_option(command)] if command is not None else []
    found = [
        *_best(_forwards(typed, sources)),
        *_best(_objects(typed, sources)),
        *_best(_commands(typed, sources)),
    ]
    return [*exact, *(one for one in found if one not in exact)][:MAX_OPTIONS]


Scored = tuple[int, JumpOption]


def _best(scored: Iterable[Scored]) -> list[JumpOption]:
    ranked = sorted(scored, key=lambda one: -one[0])
    return [option for _, option in ranked[:_MAX_OF_KIND]]


def _forwards(typed: str, sources: JumpSources) -> Iterator[Scored]:
    score = fuzzy_score(typed)
    port = typed.lstrip(":")
    for forward in sources.forwards:
        target = forward.spec.target
        name = forward_name(forward)
        ports = [str(address.port) for address in forward.listening]
        if forward.spec.local_port is not None:
            ports.append(str(forward.spec.local_port))
        points = score(name.lower())
        if port.isdecimal() and any(one.startswith(port) for one in ports):
            points = (points or 0) + (1_000 if port in ports else 500)
        if points is not None:
            mark = state_cell(forward).text.partition(" ")[0]
            yield points, JumpOption(
                "forward", name,
                f"{sources.shown_name(target.context, target.options)}/{target.namespace}",
                _local(forward), forward.id, mark,
            )  # fmt: skip


def _local(forward: Forward) -> str:
    if forward.spec.proxy:
        return local_text(forward)
    port = local_text(forward).rpartition(":")[2] or forward.spec.local_port
    return f":{port}" if port else ""


def _objects(typed: str, sources: JumpSources) -> Iterator[Scored]:
    cluster = sources.cluster
    if cluster is None:
        return
    # With a kind, as the list shows it and Tab completes it, or without.
    kind_typed, slash, _ = typed.partition("/")
    score = fuzzy_score(typed)
    context = sources.shown_name(cluster.scope.context, cluster.scope.options)
    for kind, keys in (
        ("workload", cluster.workloads), ("pod", cluster.pods), ("service", cluster.services),
    ):  # fmt: skip
        for _, key in zip(range(_MAX_SCORED), keys, strict=False):
            short, namespace, name = key.split("/", 2)
            points = score(f"{short}/{name}" if slash and kind_typed == short else name)
            if points is None:
                continue
            entry = entry_of(cluster, key)
            shown = name if kind == "pod" else f"{short}/{name}"
            detail = entry.status_text if entry is not None else ""
            yield points, JumpOption(kind, shown, f"{context}/{namespace}", detail, key)


def _commands(typed: str, sources: JumpSources) -> Iterator[Scored]:
    for command in COMMANDS:
        if command.name.startswith(typed):
            yield 2_000, _command_option(command)
        elif typed in command.words:
            yield 10, _command_option(command)
        if command.takes:  # the name alone finds its command, too
            score = fuzzy_score(typed)
            for name in _names(command, sources):
                points = score(name.lower())
                if points is not None:
                    yield points - 50, _named_option(command, name, sources)


def _arguments(command: Command, rest: str, sources: JumpSources) -> Iterator[JumpOption]:
    score: Callable[[str], int | None] = fuzzy_score(rest) if rest else (lambda _name: 0)
    scored = [
        (points, name)
        for name in _names(command, sources)
        if (points := score(name.lower())) is not None
    ]
    scored.sort(key=lambda one: -one[0])
    names = [name for _, name in scored]
    if rest and rest not in names and command.takes == "namespace":
        names.append(rest)  # may not be listed
    for name in names:
        yield _named_option(command, name, sources)


def _names(command: Command, sources: JumpSources) -> Sequence[str]:
    if command.takes == "context":
        return sources.contexts
    if command.takes == "theme":
        return sources.themes
    if command.takes == "scope":
        return (ALL,)
    return tuple(sources.cluster.namespaces) if sources.cluster is not None else ()


def _named_option(command: Command, name: str, sources: JumpSources) -> JumpOption:
    """Return a command with a name: of a context as it is shown, where it is cut with the whole."""
    shown = sources.shown_name(name, NO_OPTIONS) if command.takes == "context" else name
    place = name if not shown.startswith(name) else ""
    return JumpOption(
        COMMAND, f"{command.name} {shown}", place, command.words, f"{command.name} {name}"
    )


def _command_option(command: Command) -> JumpOption:
    return JumpOption(COMMAND, command.name, detail=command.words, value=command.name)
