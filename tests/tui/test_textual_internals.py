"""Only `textual_internals` touches private parts of Textual."""

from __future__ import annotations

import ast
import contextlib
import functools
import gc
import importlib
import inspect
import os
import pkgutil
import pty
import re
import weakref
from collections.abc import Iterator

import pytest
from rich.segment import Segment
from textual._styles_cache import StylesCache
from textual.color import Color
from textual.dom import DOMNode
from textual.drivers._writer_thread import MAX_QUEUED_WRITES, WriterThread
from textual.strip import Strip

import tui_forward.tui
from tui_forward.tui import textual_internals
from tui_forward.tui.textual_internals import _TerminalFile as TerminalFile

MODULES = [
    module.name
    for module in pkgutil.walk_packages(tui_forward.tui.__path__, "tui_forward.tui.")
    if module.name != textual_internals.__name__
]


@functools.cache
def classes_of(module: str) -> dict[str, tuple[ast.ClassDef, str]]:
    """Return the classes of a module and their source; `inspect` reads it once for each class."""
    source = inspect.getsource(importlib.import_module(module))
    lines = source.splitlines()
    return {
        node.name: (node, "\n".join(lines[node.lineno - 1 : node.end_lineno]))
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef)
    }


def widget_classes(module: str) -> Iterator[type[DOMNode]]:
    for one in vars(importlib.import_module(module)).values():
        if inspect.isclass(one) and issubclass(one, DOMNode) and one.__module__ == module:
            yield one


def private_names(owner: type[object]) -> set[str]:
    """Return the private methods of a class and the private attributes it assigns."""
    names: set[str] = set()
    for node in ast.walk(classes_of(owner.__module__)[owner.__name__][0]):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.add(node.attr)
    return {name for name in names if name.startswith("_") and not name.startswith("__")}


def test_private_parts_of_textual_are_recognized() -> None:
    assert "_fatal_error" in private_names(textual_internals.CrashCapturingApp)


@pytest.mark.parametrize("module", MODULES)
def test_module_shadows_no_private_part_of_textual(module: str) -> None:
    for owner in widget_classes(module):
        bases = [one for one in owner.__mro__ if one.__module__.startswith("textual.")]
        sources = [classes_of(one.__module__)[one.__name__][1] for one in bases]
        for name in private_names(owner):
            assigned = re.compile(rf"self\.{name}\b\s*[:=]")
            assert not any(hasattr(one, name) for one in bases), f"{owner.__name__}.{name}"
            assert not any(assigned.search(one) for one in sources), f"{owner.__name__}.{name}"


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[TerminalFile, int]]:
    """Return the driver's file, which writes to a pseudo-terminal, and the terminal's end."""
    master, slave = pty.openpty()
    monkeypatch.setattr(textual_internals, "_stdout", lambda: slave)
    yield TerminalFile("utf-8"), master
    os.close(slave)
    with contextlib.suppress(OSError):
        os.close(master)


def test_driver_drops_output_to_a_lost_terminal(driver: tuple[TerminalFile, int]) -> None:
    file, master = driver
    writer = WriterThread(file)  # type: ignore[arg-type]
    writer.start()
    writer.write("shown")
    assert os.read(master, 100) == b"shown"
    os.close(master)
    for _ in range(10 * MAX_QUEUED_WRITES):  # would block if the thread had ended
        writer.write("dropped")
    writer.stop()
    assert not writer.is_alive()


def test_driver_replaces_what_the_encoding_lacks(
    driver: tuple[TerminalFile, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    file, master = driver
    file._encoding = "latin-1"
    file.write("● ready")
    file.flush()
    assert os.read(master, 100) == b"* ready"


class Line(Strip):
    """A strip that weak references can refer to."""


@pytest.fixture
def without_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("without_collector")
def test_lines_are_freed_without_the_garbage_collector() -> None:
    textual_internals.free_lines_early()
    line = Line([Segment("a line")])
    assert line.divide([6]) == [line]
    assert [one.text for one in line.divide([2, 6])] == ["a ", "line"]
    freed = weakref.ref(line)
    del line
    assert freed() is None


@pytest.mark.usefixtures("without_collector")
def test_backgrounds_keep_no_lines() -> None:
    textual_internals.free_lines_early()
    cache, red, green = StylesCache(), Color.parse("red"), Color.parse("#00ff0080")
    inner, outer = cache.get_inner_outer(red, green)
    assert (inner.background, outer.background) == (red + green, red)
    freed = weakref.ref(cache)
    del cache
    assert freed() is None
