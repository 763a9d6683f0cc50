"""Random edits of a profile and the forwards expected after each."""

from __future__ import annotations

import os
import random
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from tui_forward.common import paths as paths
from tui_forward.model import Forward, ForwardSpec
from tui_forward.profiles.parser import MAX_FILE_BYTES, ProfileError, parse_profile
from tui_forward.profiles.profile import Profile
from tui_forward.profiles.trust import TrustStore

ANCHOR = "anchor"  # in every valid version, on one line, different in each
_NAMES = ("web", "db", "cache", "queue", "mail")
_TARGETS = ("deploy/web", "svc/api", "sts/db", "pod/one-0", "ds/agent")
_UTF8 = "# ümläut\n"


@dataclass(frozen=True)
class Row:
    """A forward as written in a file; local port 0 means any."""

    target: str
    port: str
    local: int = 0
    label: str = ""
    queue_timeout: int = 30

    def differs(self, other: Row) -> bool:
        """Return whether a forward must be restarted to become `other`."""
        return replace(self, local=0) != replace(other, local=0) or other.local not in (
            0, self.local,
        )  # fmt: skip

    def flow(self) -> str:
        parts = [f"target: {self.target}", f"port: {self.port}", f"local: {self.local or 'any'}"]
        parts += [f"label: {self.label}"] if self.label else []
        parts += [f"queue_timeout: {self.queue_timeout}s"] if self.queue_timeout != 30 else []
        return ", ".join(parts)


@dataclass(frozen=True)
class ExpectApplied:
    """The edit is expected to be applied."""

    version: dict[str, Row]


@dataclass(frozen=True)
class ExpectRejected:
    """No forward is expected to change, and a notice is expected to contain the text."""

    text: str


Outcome = ExpectApplied | ExpectRejected


class ProfileEditor:
    """Editor of one profile that tracks its expected forwards.

    Args:
        path: File of the profile.
        team: Whether it is the profile of a working tree.
        ports: Local ports reserved for it.
        dice: Source of all random choices.
    """

    def __init__(self, path: Path, *, team: bool, ports: list[int], dice: random.Random) -> None:
        self.path = path
        self.team = team
        self.id = str(path) if team else path.stem
        self.name = path.parent.name if team else path.stem
        self.version: dict[str, Row] = {}
        self.started: dict[str, Row] = {}  # rows with which the active forwards were started
        self.forwards: dict[str, Forward] = {}  # last observed
        self.fault = ""  # last reported read error of the file
        self._ports = ports
        self._dice = dice
        self._serial = 0
        self._elsewhere = path.parent.parent / f"elsewhere-{path.parent.name}-{path.stem}"
        self._elsewhere.mkdir()

    # Effects of an edit ------------------------------------------------------------------

    def expect(self, outcome: Outcome) -> Outcome:
        """Return the observable outcome: a local port conflict rejects the edit."""
        if isinstance(outcome, ExpectRejected):
            return outcome
        after = outcome.version
        leaving = {name for name in self.started if self._touched(name, after)}
        held = {
            address.port
            for name, one in self.forwards.items()
            if name not in leaving
            for address in one.listening
        }
        for name, row in after.items():
            begins = name in leaving or (name not in self.started and name not in self.version)
            if begins and row.local in held:
                return ExpectRejected("have the same local port ")
        return outcome

    def _touched(self, name: str, after: dict[str, Row]) -> bool:
        if name not in after:
            return True
        was, row = self.version.get(name), after[name]
        return was != row and self.started[name].differs(row)

    def expected_forwards(self, version: dict[str, Row]) -> tuple[dict[str, Row], set[str]]:
        """Return the forwards expected after `version`, and the names of unchanged ones."""
        stay = {name for name in self.started if not self._touched(name, version)}
        begun = {name: self.started[name] for name in stay}
        for name, row in version.items():
            stopped = name in self.version and name not in self.started
            if name not in stay and not stopped:
                begun[name] = row
        return begun, stay

    # Edits --------------------------------------------------------------------------------

    def edit(self) -> tuple[str, Outcome]:
        """Edit the file; return the kind of the edit and its expected outcome.

        Edits without an observable effect are skipped.
        """
        kinds: list[tuple[int, Callable[[], tuple[str, Outcome] | None]]] = [
            (40, self._valid), (30, self._wrong), (15, self._cut), (10, self._damaged),
            (25, self._unreadable), (6, self._linked),
        ]  # fmt: skip
        weights = [weight for weight, _ in kinds]
        while True:
            _, kind = self._dice.choices(kinds, weights)[0]
            done = kind()
            if done is not None:
                return done[0], self.expect(done[1])

    def next_version(self) -> dict[str, Row]:
        """Return another valid version."""
        dice, rows = self._dice, dict(self.version)
        rows.pop(ANCHOR, None)
        for _ in range(dice.randint(0, 2)):
            rows[dice.choice(_NAMES)] = self._row(rows)
        if rows and dice.random() < 0.4:
            del rows[dice.choice(list(rows))]
        explicit = [name for name, row in rows.items() if row.local]
        if len(explicit) > 1 and dice.random() < 0.3:  # swap two local ports
            one, other = dice.sample(explicit, 2)
            a, b = rows[one], rows[other]
            rows[one], rows[other] = replace(a, local=b.local), replace(b, local=a.local)
        names = list(rows)
        dice.shuffle(names)
        self._serial += 1
        anchor = Row("svc/anchor", "80", label=f"e{self._serial}")
        return {ANCHOR: anchor, **{name: rows[name] for name in names}}

    def _row(self, others: dict[str, Row]) -> Row:
        dice = self._dice
        free = sorted(set(self._ports) - {row.local for row in others.values()})
        return Row(
            dice.choice(_TARGETS), str(dice.randint(1, 999)),
            local=dice.choice(free) if free and dice.random() < 0.5 else 0,
            label=dice.choice(["", "", "a", "b"]), queue_timeout=dice.choice([30, 30, 45]),
        )  # fmt: skip

    def text(self, version: dict[str, Row]) -> str:
        dice, lines = self._dice, [f"# edit {self._serial}", "namespace: shop", "forwards:"]
        for name, row in version.items():
            if dice.random() < 0.2:
                lines.append("  # a comment")
            if name == ANCHOR or dice.random() < 0.5:
                lines.append(f"  {name}: {{{row.flow()}}}")
            else:
                lines += [f"  {name}:", *(f"    {part}" for part in row.flow().split(", "))]
        return "\n".join(lines) + "\n"

    def _valid(self) -> tuple[str, Outcome]:
        version = self.next_version()
        text = self.text(version)
        if self._dice.random() < 0.1:
            text = "\ufeff" + text.replace("\n", "\r\n")
        if not self._is_trusted(text):
            self.put(text)
            return "not trusted", ExpectRejected("has changed; review and trust it")
        self.put(text)
        return "valid", ExpectApplied(version)

    def _is_trusted(self, text: str) -> bool:
        if not self.team:
            return True
        yes = self._dice.random() < 0.6
        if yes:
            TrustStore(paths.trusted_profiles_file()).trust(self.path, text.removeprefix("\ufeff"))
        return yes

    def _wrong(self) -> tuple[str, Outcome]:
        """Write a file with one error at a known position."""
        dice, version = self._dice, self.next_version()
        lines = self.text(version).splitlines()
        at = next(n for n, line in enumerate(lines) if line.startswith(f"  {ANCHOR}:"))
        serial, line = self._serial, lines[at]
        what = dice.randrange(11)
        if what == 0:
            place, lines[at] = (at, line.index("label")), line.replace("label", "lable")
            message = "unknown key `lable`"
        elif what == 1:
            place = (at, line.index("80"))
            lines[at] = line.replace("port: 80", f"port: {99999 + serial}")
            message = "port: "
        elif what == 2:
            lines.insert(at, f"\tx{serial}: 1")
            place, message = (at, 0), "this is not YAML"
        elif what == 3:
            lines.insert(at + 1, line)
            place, message = (at + 1, 2), 'found duplicate key "anchor"'
        elif what == 4:
            lines[at] = line.replace("}", f", needs: missing-{serial}}}")
            place, message = (at, 2), f"anchor needs `missing-{serial}`, which does not exist"
        elif what == 5:
            place, lines[at] = (at, line.index("svc/")), line.replace("svc/", "cm/")
            message = 'target: cannot forward to "cm/anchor"'
        elif what == 6:
            lines.insert(1, f"version: {serial + 1}")
            place, message = (1, len("version: ")), f"the file has version {serial + 1}"
        elif what == 7:
            lines[at] = line.replace("}", ", needs: anchor}")
            place, message = (at, 2), "anchor needs itself"
        elif what == 8:
            lines[at] = line.replace("local: any", "local: any, pin: true")
            place, message = (at, 2), "anchor can only be pinned to a pod"
        elif what == 9:
            lines[1] = f"context: nowhere-{serial}"
            text = "\n".join(lines)
            if not self._is_trusted(text):
                self.put(text)
                return "not trusted", ExpectRejected("has changed; review and trust it")
            self.put(text)
            return "of no context", ExpectRejected(f'has no context "nowhere-{serial}"')
        else:
            lines.insert(0, f"name: other-{serial}")
            if self.team:  # a team profile may have any name
                return self._wrong()
            self.put("\n".join(lines))
            return "renamed", ExpectRejected(
                f"was renamed to other-{serial}; its forwards are unchanged"
            )
        self.put("\n".join(lines))
        return "wrong", ExpectRejected(f"{self.path.name}:{place[0] + 1}:{place[1] + 1}: {message}")

    def _cut(self) -> tuple[str, Outcome] | None:
        """Write a truncated file, as a full disk leaves it; it may be valid."""
        whole = self.text(self.next_version())
        return self._put_parsed("cut", whole[: self._dice.randrange(1, len(whole))])

    def _damaged(self) -> tuple[str, Outcome] | None:
        text = list(self.text(self.next_version()))
        for _ in range(self._dice.randint(1, 3)):
            place = self._dice.randrange(len(text))
            text[place] = self._dice.choice(" :-#{}[]\"'&*!|>%@\t\n0a")
        return self._put_parsed("damaged", "".join(text))

    def _put_parsed(self, kind: str, text: str) -> tuple[str, Outcome] | None:
        try:
            profile = parse_profile(text, self.path, team=self.team)
        except ProfileError as error:
            first = error.problems[0]
            place = f"{first.file.name}:{first.line}:{first.column}"
            self.put(text)
            return f"{kind}, wrong", ExpectRejected(f"{place}: {first.message}")
        rows = {}
        for one in profile.forwards:
            spec = one.spec
            if spec.target.namespace != "shop" or spec.local_port not in (None, 0, *self._ports):
                return None
            rows[one.name] = row_of(spec)
        if self.expected_forwards(rows) == (self.started, set(self.started)):
            return None  # no observable effect
        if not self._is_trusted(text):
            self.put(text)
            return "not trusted", ExpectRejected("has changed; review and trust it")
        self.put(text)
        return f"{kind}, valid", ExpectApplied(rows)

    def _unreadable(self) -> tuple[str, Outcome] | None:
        """Replace the file by something that is not a readable profile."""
        dice, path = self._dice, self.path
        what = dice.choice(
            ["gone", "dangling", "loop", "folder", "pipe", "device", "bytes", "huge", "empty",
             "comment", *(["socket"] if sys.platform == "linux" else []),
             *(["closed"] if os.geteuid() else [])]
        )  # fmt: skip
        kinds = {
            "gone": "no such file", "dangling": "no such file",
            "loop": "cannot read the file: too many levels", "huge": "the file is too large",
            "bytes": "this is not UTF-8", "empty": "`forwards:` is missing",
            "comment": "`forwards:` is missing",
            "closed": "cannot read the file: permission",
        }  # fmt: skip
        message = kinds.get(what, "this is not a regular file")
        if message == self.fault:
            return None  # repeated errors are reported once
        place = "1:1"
        if what == "bytes":
            before = _UTF8 * dice.randrange(3)
            place = f"{before.count(chr(10)) + 1}:4"
            self._write(before.encode() + b"abc\xff\n")
        elif what in ("huge", "empty", "comment"):
            huge = b"a: b\n" * (MAX_FILE_BYTES // 4)
            self._write({"huge": huge, "empty": b"", "comment": b"# off\n"}[what])
        else:
            self._clear()
            if what == "dangling":
                path.symlink_to(path.parent / "nothing")
            elif what == "loop":
                path.symlink_to(path)
            elif what == "folder":
                path.mkdir()
            elif what == "pipe":
                os.mkfifo(path)
            elif what == "device":
                path.symlink_to(dice.choice(["/dev/zero", "/dev/null", "/dev/full"]))
            elif what == "socket":
                os.mknod(path, stat.S_IFSOCK | 0o600)
            elif what == "closed":
                path.write_text(self.text(self.next_version()))
                path.chmod(0)
        self.fault = message
        return what, ExpectRejected(f"{path.name}:{place}: {message}")

    def _linked(self) -> tuple[str, Outcome] | None:
        """Replace the file by a link to a valid file."""
        if self.team:
            return None
        version = self.next_version()
        target = self._elsewhere / f"{self._serial}.yaml"
        target.write_text(self.text(version))
        self._clear()
        self.path.symlink_to(target)
        self.fault = ""
        return "link", ExpectApplied(version)

    # Files --------------------------------------------------------------------------------

    def put(self, text: str) -> None:
        """Write a text in one of the ways that editors do."""
        self._write(text.encode())
        self.fault = ""

    def _write(self, data: bytes) -> None:
        path, how = self.path, self._dice.randrange(4)
        plain = path.is_file() and not path.is_symlink() and path.stat().st_mode & 0o200
        if how == 0 and plain:  # in two steps
            with path.open("wb", buffering=0) as stream:
                stream.write(data[: len(data) // 2])
                stream.write(data[len(data) // 2 :])
        elif how == 1 and plain:  # the file is missing for a moment
            path.unlink()
            path.write_bytes(data)
        elif how == 2 and path.is_symlink() and path.readlink().parent == self._elsewhere:
            path.readlink().write_bytes(data)
        else:  # atomic replacement
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            other = path.with_name(f".{path.name}.new")
            other.write_bytes(data)
            other.replace(path)

    def _clear(self) -> None:
        if self.path.is_dir() and not self.path.is_symlink():
            self.path.rmdir()
        else:
            self.path.unlink(missing_ok=True)


def row_of(spec: ForwardSpec) -> Row:
    """Return a spec as a row."""
    kind, _, _ = str(spec.target).removeprefix(f"{spec.target.namespace}/").rpartition(":")
    return Row(kind, spec.target.port, spec.local_port or 0, spec.label, int(spec.queue_timeout_s))


def rows_of(profile: Profile) -> dict[str, Row]:
    """Return the forwards of a parsed profile as rows."""
    return {one.name: row_of(one.spec) for one in profile.forwards}
