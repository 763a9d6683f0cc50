"""Every key of the dashboard has an action: none that is shown does nothing."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import pytest
from textual.actions import parse
from textual.binding import Binding
from textual.dom import DOMNode

import tui_forward.tui
from tui_forward.tui.app import TuiForwardApp
from tui_forward.tui.screens import help as help_screen
from tui_forward.tui.screens.dashboard import Dashboard


def classes_with_keys() -> list[type[DOMNode]]:
    """Return the classes of the dashboard that bind keys."""
    found = set()
    prefix = f"{tui_forward.tui.__name__}."
    for module in pkgutil.walk_packages(tui_forward.tui.__path__, prefix):
        for _, one in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            is_ours = one.__module__.startswith(prefix)
            if is_ours and issubclass(one, DOMNode) and "BINDINGS" in vars(one):
                found.add(one)
    return sorted(found, key=lambda one: (one.__module__, one.__qualname__))


@pytest.mark.parametrize("owner", classes_with_keys(), ids=lambda one: one.__name__)
def test_every_key_has_an_action(owner: type[DOMNode]) -> None:
    namespaces = {"": owner, "app": TuiForwardApp, "screen": Dashboard}
    for binding in owner.BINDINGS:
        assert isinstance(binding, Binding)
        namespace, name, _ = parse(binding.action)
        names = (f"action_{name}", f"_action_{name}")
        assert any(hasattr(namespaces[namespace], each) for each in names), (
            f"{binding.key} of {owner.__name__} runs {binding.action}, which does not exist"
        )


def test_every_key_has_a_group_of_the_help() -> None:
    ids = {
        binding.id
        for owner in classes_with_keys()
        for binding in owner.BINDINGS
        if isinstance(binding, Binding) and binding.id
    }
    prefixes = {one.partition(".")[0] for one in ids}
    assert prefixes <= help_screen._GROUPS.keys()
