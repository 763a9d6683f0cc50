from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from tui_forward.model import Caller
from tui_forward.session import callers
from tui_forward.session.callers import differing_names, environment_key, make_caller


@pytest.mark.parametrize(
    ("other", "is_same"),
    [
        ({"A": "1", "PWD": "/x", "SHLVL": "3", "_": "/bin/sh"}, True),
        ({"A": "1", "TMUX_PANE": "%3", "WINDOWID": "7", "SSH_TTY": "/dev/pts/9"}, True),
        ({"A": "1", "TERM": "dumb", "COLUMNS": "80", "KITTY_PID": "3"}, True),
        ({"A": "1", "KUBECONFIG": "./config"}, True),
        ({"A": "2"}, False),
        ({}, False),
        ({"A": "1", "AWS_PROFILE": "prod"}, False),
        ({"A": "1", "PATH": "/opt/bin"}, False),
        ({"A": "1", "HTTPS_PROXY": "http://p"}, False),
        ({"A": "1", "HOME": "/home/other"}, False),
        ({"A": "1", "EMPTY": ""}, False),
        ({"A=1": ""}, False),
    ],
)
def test_only_volatile_variables_make_no_difference(other: dict[str, str], is_same: bool) -> None:
    one = {"A": "1", "PWD": "/", "SHLVL": "1"}
    assert (environment_key(one) == environment_key(other)) is is_same
    assert (differing_names(one, other) == "") is is_same


def test_differences_are_names_without_values() -> None:
    one = {f"V{n}": "secret-a" for n in range(9)}
    other = {f"V{n}": "secret-b" for n in range(9)}
    assert differing_names(one, other) == "V0, V1, V2, V3, V4 and 4 more"


def test_caller_does_not_show_its_environment() -> None:
    caller = Caller(environ={"TOKEN": "s3cr3t-s3cr3t"}, terminal="pts/3", pid=4211)
    assert "s3cr3t" not in f"{caller!r} {caller} {[caller]}"
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(caller), type=Caller) == caller


def test_environment_that_is_not_utf_8_or_too_large() -> None:
    caller = make_caller({"A": "1", "B": os.fsdecode(b"\xff")})
    assert caller is not None
    assert caller.environ == {"A": "1"}
    assert caller.pid == os.getpid()
    assert make_caller({"A": "x" * 1_000_000}) is None


def test_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_terminal(descriptor: int) -> str:
        raise OSError

    monkeypatch.setattr(os, "ttyname", no_terminal)
    caller = make_caller({})
    assert caller is not None
    assert callers.describe_caller(caller) == f"process {os.getpid()}"
    assert Path("/dev") not in Path(callers.describe_caller(caller)).parents


def test_callers_are_handed_over_once_each() -> None:
    one, other = Caller(environ={"A": "x" * 1000}), Caller(environ={"A": "2"}, terminal="pts/1")
    callers_of = {"f1": one, "f2": one, "f3": other, "f4": one}
    data = callers.encode_callers(callers_of)
    assert callers.decode_callers(data) == callers_of
    assert len(data) < 1500
    for invalid in (b"", b"x", data[:-3], msgspec.msgpack.encode([[], {"f1": 3}])):
        assert callers.decode_callers(invalid) == {}
