"""Random edits of a profile, and the forwards expected after each of them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from tests.endurance.edited_file import UNREADABLE, EditedFile
from tui_forward.common import paths
from tui_forward.model import Forward, ForwardSpec
from tui_forward.profiles.parser import ProfileError, parse_profile
from tui_forward.profiles.profile import Profile
from tui_forward.profiles.trust import TrustStore

ANCHOR = "anchor"  # in every valid version, on one line, and different in each
_NAMESPACE = "shop"
_NOT_TRUSTED = "has changed; review and trust it"
_NAMES = ("web", "db", "cache", "queue", "mail")
_TARGETS = ("deploy/web", "svc/api", "sts/db", "pod/one-0", "ds/agent")


@dataclass(frozen=True)
class Entry:
    """A forward as a profile describes it; local port 0 is any free port."""

    target: str
    port: str
    local_port: int = 0
    label: str = ""
    queue_timeout_s: int = 30

    def needs_restart(self, edited: Entry) -> bool:
        """Return whether a forward started as this must be restarted to match an edit."""
        return replace(self, local_port=0) != replace(edited, local_port=0) or (
            edited.local_port not in (0, self.local_port)
        )

    def to_yaml(self) -> str:
        """Return the content of a flow mapping."""
        parts = [f"target: {self.target}", f"port: {self.port}"]
        parts += [f"local: {self.local_port or 'any'}"]
        parts += [f"label: {self.label}"] if self.label else []
        parts += [f"queue_timeout: {self.queue_timeout_s}s"] if self.queue_timeout_s != 30 else []
        return ", ".join(parts)


Entries = dict[str, Entry]
"""The entries of a profile by name."""


def entry_of(spec: ForwardSpec) -> Entry:
    target, _, _ = str(spec.target).removeprefix(f"{spec.target.namespace}/").rpartition(":")
    return Entry(
        target, spec.target.port, spec.local_port or 0, spec.label, int(spec.queue_timeout_s)
    )


def entries_of(profile: Profile) -> Entries:
    return {forward.name: entry_of(forward.spec) for forward in profile.forwards}


@dataclass(frozen=True)
class ExpectApplied:
    """The engine applies the edit; the profile then has these entries."""

    entries: Entries


@dataclass(frozen=True)
class ExpectRejected:
    """The engine changes nothing, and reports a problem with this text."""

    text: str


Outcome = ExpectApplied | ExpectRejected


class Edit(NamedTuple):
    """A kind of edit, and the expected outcome."""

    kind: str
    outcome: Outcome


class ProfileEditor:
    """One profile under edit, and its expected forwards.

    Args:
        path: Path of the profile.
        team: Whether it is the profile of a working tree, which needs trust.
        ports: Local ports that no other profile uses.
        rng: Source of all random choices.

    Attributes:
        applied: Entries of the last version that the engine applied.
        active: Entries of the active forwards, as each was started.
        forwards: Active forwards, as last observed.
    """

    def __init__(self, path: Path, *, team: bool, ports: list[int], rng: random.Random) -> None:
        self.path = path
        self.team = team
        self.id = str(path) if team else path.stem
        self.name = path.parent.name if team else path.stem
        self.applied: Entries = {}
        self.active: Entries = {}
        self.forwards: dict[str, Forward] = {}
        self._file = EditedFile(path, rng)
        self._written = ""
        self._reported_problem = ""  # why the file is unreadable; reported only once
        self._ports = ports
        self._rng = rng
        self._serial = 0

    # Expected forwards --------------------------------------------------------------------

    def expected_forwards(self, entries: Entries) -> tuple[Entries, set[str]]:
        """Return the forwards active after an edit, and the names of those left untouched."""
        untouched = {name for name in self.active if not self._is_touched(name, entries)}
        expected = {name: self.active[name] for name in untouched}
        for name, entry in entries.items():
            was_stopped_by_user = name in self.applied and name not in self.active
            if name not in untouched and not was_stopped_by_user:
                expected[name] = entry
        return expected, untouched

    def _is_touched(self, name: str, entries: Entries) -> bool:
        if name not in entries:
            return True
        before, after = self.applied.get(name), entries[name]
        return before != after and self.active[name].needs_restart(after)

    def _check_ports(self, outcome: Outcome) -> Outcome:
        """Return the outcome, or a rejection if an entry needs the port of an untouched forward."""
        if isinstance(outcome, ExpectRejected):
            return outcome
        expected, untouched = self.expected_forwards(outcome.entries)
        used_ports = {
            address.port
            for name, forward in self.forwards.items()
            if name in untouched
            for address in forward.listening
        }
        for name in expected.keys() - untouched:
            if expected[name].local_port in used_ports:
                return ExpectRejected("is in use by ")
        return outcome

    # Edits --------------------------------------------------------------------------------

    def edit(self) -> Edit:
        """Edit the file at random, with an effect that is visible from outside."""
        edits: list[tuple[int, Callable[[], Edit | None]]] = [
            (40, self._write_valid), (24, self._write_invalid), (3, self._write_unknown_context),
            (3, self._write_new_name), (15, self._write_truncated), (10, self._write_damaged),
            (25, self._make_unreadable), (6, self._link),
        ]  # fmt: skip
        weights = [weight for weight, _ in edits]
        while True:
            _, make_edit = self._rng.choices(edits, weights)[0]
            edit = make_edit()
            if edit is not None:
                return Edit(edit.kind, self._check_ports(edit.outcome))

    def next_version(self) -> Entries:
        """Return the entries of another valid version."""
        rng, entries = self._rng, dict(self.applied)
        entries.pop(ANCHOR, None)
        for _ in range(rng.randint(0, 2)):
            entries[rng.choice(_NAMES)] = self._random_entry(entries)
        if entries and rng.random() < 0.4:
            del entries[rng.choice(list(entries))]
        with_port = [name for name, entry in entries.items() if entry.local_port]
        if len(with_port) > 1 and rng.random() < 0.3:  # two forwards swap their ports
            one, other = rng.sample(with_port, 2)
            entries[one], entries[other] = (
                replace(entries[one], local_port=entries[other].local_port),
                replace(entries[other], local_port=entries[one].local_port),
            )
        names = list(entries)
        rng.shuffle(names)
        self._serial += 1
        anchor = Entry("svc/anchor", "80", label=f"e{self._serial}")
        return {ANCHOR: anchor, **{name: entries[name] for name in names}}

    def _random_entry(self, others: Entries) -> Entry:
        rng = self._rng
        free = sorted(set(self._ports) - {entry.local_port for entry in others.values()})
        return Entry(
            target=rng.choice(_TARGETS),
            port=str(rng.randint(1, 999)),
            local_port=rng.choice(free) if free and rng.random() < 0.5 else 0,
            label=rng.choice(["", "", "a", "b"]),
            queue_timeout_s=rng.choice([30, 30, 45]),
        )

    def format_profile(self, entries: Entries) -> str:
        """Return the text of a profile, with comments and both styles of mappings."""
        rng = self._rng
        lines = [f"# edit {self._serial}", f"namespace: {_NAMESPACE}", "forwards:"]
        for name, entry in entries.items():
            if rng.random() < 0.2:
                lines.append("  # a comment")
            if name == ANCHOR or rng.random() < 0.5:
                lines.append(f"  {name}: {{{entry.to_yaml()}}}")
            else:
                lines += [f"  {name}:", *(f"    {part}" for part in entry.to_yaml().split(", "))]
        return "\n".join(lines) + "\n"

    def write(self, text: str) -> None:
        """Write the file."""
        self._file.write(text.encode())
        self._written = text
        self._reported_problem = ""

    def trust(self, text: str) -> None:
        """Trust a text, if the profile needs it; a write may keep a link to a file elsewhere."""
        if self.team or self.path.is_symlink():
            self._store_trust(text)

    def _store_trust(self, text: str) -> None:
        TrustStore(paths.trusted_profiles_file()).trust(self.path, text.removeprefix("\ufeff"))

    def _write_effective(self, kind: str, text: str, outcome: Outcome) -> Edit:
        """Write a text that changes forwards; the profile of a team is not always trusted."""
        trusted = not self.team or self._rng.random() < 0.6
        if trusted:
            self.trust(text)
        self.write(text)
        if not trusted:
            return Edit("not trusted", ExpectRejected(_NOT_TRUSTED))
        return Edit(kind, outcome)

    def _write_valid(self) -> Edit:
        entries = self.next_version()
        text = self.format_profile(entries)
        if self._rng.random() < 0.1:
            text = "\ufeff" + text.replace("\n", "\r\n")
        return self._write_effective("valid", text, ExpectApplied(entries))

    def _write_invalid(self) -> Edit:
        """Write a version with one problem, at a known position."""
        lines = self.format_profile(self.next_version()).splitlines()
        row = next(n for n, line in enumerate(lines) if line.startswith(f"  {ANCHOR}:"))
        anchor, serial = lines[row], self._serial
        # What to replace in the line of the anchor, and column and text of the problem.
        replacements = [
            ("label", "lable", anchor.index("label"), "unknown key `lable`"),
            ("port: 80", f"port: {99999 + serial}", anchor.index("80"), "port: "),
            ("svc/", "cm/", anchor.index("svc/"), 'target: cannot forward to "cm/anchor"'),
            ("local: any", "local: any, pin: true", 2, "anchor can only be pinned to a pod"),
            ("}", ", needs: anchor}", 2, "anchor needs itself"),
            ("}", f", needs: missing-{serial}}}", 2,
             f"anchor needs `missing-{serial}`, which does not exist"),
        ]  # fmt: skip
        # Where to insert a line, and column and text of the problem.
        insertions = [
            (row, f"\tx{serial}: 1", 0, "this is not YAML"),
            (row + 1, anchor, 2, 'found duplicate key "anchor"'),
            (1, f"version: {serial + 1}", len("version: "), f"the file has version {serial + 1}"),
        ]
        if self._rng.randrange(len(replacements) + len(insertions)) < len(replacements):
            old, new, column, problem = self._rng.choice(replacements)
            lines[row] = anchor.replace(old, new)
        else:
            row, line, column, problem = self._rng.choice(insertions)
            lines.insert(row, line)
        self.write("\n".join(lines))
        return Edit(
            "invalid", ExpectRejected(f"{self.path.name}:{row + 1}:{column + 1}: {problem}")
        )

    def _write_unknown_context(self) -> Edit:
        lines = self.format_profile(self.next_version()).splitlines()
        context = f"missing-{self._serial}"
        lines[1] = f"context: {context}"
        outcome = ExpectRejected(f'the kubeconfig has no context "{context}"')
        return self._write_effective("unknown context", "\n".join(lines), outcome)

    def _write_new_name(self) -> Edit | None:
        """Rename a profile of the user; that of a team may have any name."""
        if self.team:
            return None
        text = self.format_profile(self.next_version())
        name = f"other-{self._serial}"
        self.write(f"name: {name}\n{text}")
        return Edit("renamed", ExpectRejected(f"was renamed to {name}"))

    def _write_truncated(self) -> Edit | None:
        """Write the beginning of a version, as a full disk does; it may be valid."""
        text = self.format_profile(self.next_version())
        return self._write_unless_ineffective(
            "truncated", text[: self._rng.randrange(1, len(text))]
        )

    def _write_damaged(self) -> Edit | None:
        characters = list(self.format_profile(self.next_version()))
        for _ in range(self._rng.randint(1, 3)):
            index = self._rng.randrange(len(characters))
            characters[index] = self._rng.choice(" :-#{}[]\"'&*!|>%@\t\n0a")
        return self._write_unless_ineffective("damaged", "".join(characters))

    def _write_unless_ineffective(self, kind: str, text: str) -> Edit | None:
        """Write a text that may be invalid, unless its effect is invisible or unpredictable."""
        if text == self._written:  # the engine reports its problem only once
            return None
        try:
            profile = parse_profile(text, self.path, team=self.team)
        except ProfileError as error:
            first = error.problems[0]
            position = f"{first.file.name}:{first.line}:{first.column}"
            self.write(text)
            return Edit(f"{kind}, invalid", ExpectRejected(f"{position}: {first.message}"))
        for forward in profile.forwards:
            if forward.spec.target.namespace != _NAMESPACE:
                return None
            if forward.spec.local_port not in (None, 0, *self._ports):
                return None
        entries = entries_of(profile)
        if self.expected_forwards(entries) == (self.active, set(self.active)):
            return None
        return self._write_effective(f"{kind}, valid", text, ExpectApplied(entries))

    def _make_unreadable(self) -> Edit | None:
        kind = self._rng.choice(list(UNREADABLE))
        problem = UNREADABLE[kind]
        if problem == self._reported_problem:
            return None
        position = self._file.make_unreadable(kind)
        self._written = ""
        self._reported_problem = problem
        return Edit(kind, ExpectRejected(f"{self.path.name}:{position}: {problem}"))

    def _link(self) -> Edit | None:
        """Replace the file of a user's profile by a link to a valid one elsewhere."""
        if self.team:
            return None
        entries = self.next_version()
        text = self.format_profile(entries)
        trusted = self._rng.random() < 0.6
        if trusted:
            self._store_trust(text)
        self._file.link(f"{self._serial}.yaml", text)
        self._written = ""
        self._reported_problem = ""
        if not trusted:
            return Edit("link, not trusted", ExpectRejected(_NOT_TRUSTED))
        return Edit("link", ExpectApplied(entries))
