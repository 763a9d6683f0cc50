"""Only `textual_internals` touches private parts of Textual."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator

import pytest
from textual.dom import DOMNode

import tui_forward.tui
from tui_forward.tui import textual_internals
from tui_forward.tui.textual_internals.terminal import CrashCapturingApp

MODULES = [
    module.name
    for module in pkgutil.walk_packages(tui_forward.tui.__path__, "tui_forward.tui.")
    if not module.name.startswith(textual_internals.__name__)
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
    assert "_fatal_error" in private_names(CrashCapturingApp)


@pytest.mark.parametrize("module", MODULES)
def test_module_shadows_no_private_part_of_textual(module: str) -> None:
    for owner in widget_classes(module):
        bases = [one for one in owner.__mro__ if one.__module__.startswith("textual.")]
        sources = [classes_of(one.__module__)[one.__name__][1] for one in bases]
        for name in private_names(owner):
            assigned = re.compile(rf"self\.{name}\b\s*[:=]")
            assert not any(hasattr(one, name) for one in bases), f"{owner.__name__}.{name}"
            assert not any(assigned.search(one) for one in sources), f"{owner.__name__}.{name}"
