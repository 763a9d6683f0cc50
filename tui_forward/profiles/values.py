"""Parsers of the values of a profile's keys. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tui_forward.common.arguments import parse_port
from tui_forward.model import TransportChoice


class InvalidValueError(Exception):
    """A value is invalid."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


ValueParser = Callable[[Any], Any]


def parse_text(value: Any) -> str:
    """Return a text that is not empty and printable; InvalidValueError for anything else."""
    if not isinstance(value, str):
        raise InvalidValueError("must be a string", "put it in quotation marks")
    if not value or not value.isprintable():
        raise InvalidValueError("is empty or has unprintable characters")
    return str(value)


def matching(pattern: re.Pattern[str], noun: str, hint: str) -> ValueParser:
    """Return a parser of texts that match a pattern entirely."""

    def parse(value: Any) -> str:
        text = parse_text(value)
        if not pattern.fullmatch(text):
            raise InvalidValueError(f'"{text}" is not {noun}', hint)
        return text

    return parse


def parse_port_value(value: Any) -> tuple[int | None, str]:
    """Return the local port, None if it is left open, and the remote port."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise InvalidValueError("must be a number or a name", "for example 5432 or http")
    pair = parse_port(str(value))
    return pair.local, pair.remote


def parse_local_port(value: Any) -> int:
    """Return a local port, 0 for any."""
    if value == "any":
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 65535:
        raise InvalidValueError(
            "must be a port from 1 to 65535, or any", "omit it for the port's number"
        )
    return int(value)


def parse_flag_value(value: Any) -> bool:
    """Return true or false."""
    if not isinstance(value, bool):
        raise InvalidValueError("must be true or false")
    return bool(value)


def parse_transport(value: Any) -> TransportChoice:
    """Return the transport of a name."""
    try:
        return TransportChoice(parse_text(value))
    except ValueError:
        known = ", ".join(TransportChoice)
        raise InvalidValueError(f'"{value}" is not a transport', f"available: {known}") from None


def parse_texts(value: Any) -> tuple[str, ...]:
    """Return one text or a list of texts, each of them once."""
    items = value if isinstance(value, list) else [value]
    return tuple(dict.fromkeys(parse_text(item) for item in items))
