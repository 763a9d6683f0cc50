"""Filling templates with the parameters of a reason. Pure.

In a template `{name}` is a parameter of the reason. A part in brackets is left out if one of its
parameters is missing, or replaced by the first of its options, separated by `|`, that has all.
"""

from __future__ import annotations

import re
import shlex
import time
import unicodedata
from collections.abc import Callable
from typing import Final

from tui_forward.model import Reason, TransportChoice

TRANSPORT_NAMES: Final = {
    TransportChoice.AUTO: "any transport",
    TransportChoice.SPDY: "SPDY",
    TransportChoice.WEBSOCKET: "WebSocket",
    TransportChoice.CHANNELS: "WebSocket channels",
}
# Words and lists made of several parameters.
DERIVED: Final = ("pods", "are", "facts", "previous_log", "restart_count", "permission")
FIELD: Final = re.compile(r"\{(\w+)\}")

_PART: Final = re.compile(r"\[([^\[\]]*)\]|\{(\w+)\}")
# Parameters in commands of hints. Quotation marks change no valid name.
_COMMAND_FIELDS: Final = frozenset({"namespace", "object", "pod", "container", "node", "port"})
_ID: Final = re.compile(r" \(\d{1,10}\)\Z")  # of a process, after its name

Values = Callable[[Reason, str], str]


def render(template: str, reason: Reason, value_of: Values) -> str:
    """Fill in a template with what `value_of` returns for the names of parameters."""

    def part(match: re.Match[str]) -> str:
        if match[2]:
            return value_of(reason, match[2])
        for option in match[1].split("|"):
            values = {name: value_of(reason, name) for name in FIELD.findall(option)}
            if all(values.values()):
                return option.format_map(values)
        return ""

    return _PART.sub(part, template)


def render_short(template: str, reason: Reason, cause: str, width: int) -> str:
    """Fill in a template in at most `width` cells; `cause` is that of the reason, as short.

    Parameters that are too long are cut, down to one cell, and have no control characters.
    """
    text = ""
    for cells in range(width, 0, -1):

        def value_of(reason: Reason, name: str, cells: int = cells) -> str:
            value = cause if name == "cause" else plain_value(reason, name)
            return cut(one_line(_printable(value)), cells)

        text = render(template, reason, value_of)
        if cell_count(text) <= width:
            break
    return cut(text, width)


def plain_value(reason: Reason, name: str) -> str:
    """Return a parameter as text, empty if it is missing; all but `cause`."""
    if name in DERIVED:
        return _derived(reason, name)
    value = getattr(reason, name)
    match value:
        case None:
            return ""
        case TransportChoice():
            return TRANSPORT_NAMES[value]
        case tuple():
            return ", ".join(value)
        case float() if name == "at":
            return _clock(value)
        case float():
            return f"{value:g}"
        case _:
            return one_line(str(value))


def quoted_value(reason: Reason, name: str) -> str:
    """Return a parameter for a hint: those of commands quoted, as users paste them in a shell."""
    value = plain_value(reason, name)
    return shlex.quote(value) if value and name in _COMMAND_FIELDS else value


def one_line(text: str) -> str:
    """Return a text with its white space collapsed and without a full stop at its end."""
    return " ".join(text.split()).rstrip(".")


def cut(text: str, cells: int) -> str:
    """Return a text in at most `cells` cells, cut in its middle; the id of a process is kept."""
    if cell_count(text) <= cells:
        return text
    found = _ID.search(text)
    tail = found[0].lstrip() if found and len(found[0]) < cells - 1 else ""
    if not tail:
        tail = _fitting(text[::-1], (cells - 1) // 2)[::-1]
    return f"{_fitting(text, cells - 1 - cell_count(tail))}…{tail}"


def cell_count(text: str) -> int:
    """Return how many cells of a terminal a text takes at most."""
    return len(text) if text.isascii() else sum(map(_width, text))


def _width(letter: str) -> int:
    # What is ambiguous is wide in some terminals only, and our own symbols are narrow in all.
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def _fitting(text: str, cells: int) -> str:
    used = 0
    for index, letter in enumerate(text):
        used += _width(letter)
        if used > cells:
            return text[:index]
    return text


def _printable(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


def _derived(reason: Reason, name: str) -> str:
    match name:
        case "pods":
            return "pod" if reason.total == 1 else "pods"
        case "are":
            return "is" if reason.total == 1 else "are"
        case "previous_log":
            return " --previous" if reason.has_previous_log else ""
        case "restart_count":
            count = reason.restarts
            return f"{count} restart{'' if count == 1 else 's'}" if count else ""
        case "permission":
            return _permission(reason)
    facts = []
    if reason.limit:
        facts.append(f"limit {one_line(reason.limit)}")
    if reason.exit_code is not None:
        facts.append(f"exit {reason.exit_code}")
    if reason.restarts:
        facts.append(f"restarted {reason.restarts}×")
    return ", ".join(facts)


def _permission(reason: Reason) -> str:
    """Return what is not allowed: a subresource ("portforward"), else "list pods"."""
    resource, _, subresource = reason.resource.partition("/")
    return subresource or " ".join(filter(None, (reason.verb, resource)))


def _clock(at: float) -> str:
    """Return a time of this machine's clock, with the date if it is not today."""
    moment = time.localtime(at)
    today = time.localtime()
    same_day = (moment.tm_year, moment.tm_yday) == (today.tm_year, today.tm_yday)
    return time.strftime("%H:%M:%S" if same_day else "%Y-%m-%d %H:%M", moment)
