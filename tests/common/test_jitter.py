from __future__ import annotations

import ast
import random
from pathlib import Path

import pytest

import tui_forward

# With a state of their own, or none.
GENERATORS = {"Random", "SystemRandom"}


def shared_functions_used(source: str) -> list[str]:
    """Return the functions of Python's shared generator that a module uses."""
    used = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module == "random":
            used += [one.name for one in node.names if one.name not in GENERATORS]
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "random"
            and node.attr not in GENERATORS
            and hasattr(random, node.attr)
        ):
            used.append(node.attr)
    return used


@pytest.mark.parametrize(
    ("source", "used"),
    [
        ("import random\nrandom.uniform(1, 2)", ["uniform"]),
        ("from random import Random, choice", ["choice"]),
        ("import random\nrandom.Random(1).uniform(1, 2)", []),
    ],
)
def test_uses_are_found(source: str, used: list[str]) -> None:
    assert shared_functions_used(source) == used


def test_no_module_draws_from_the_generator_of_the_process() -> None:
    """The library's threads run in tests of users, which may have seeded it."""
    files = Path(tui_forward.__file__).parent.rglob("*.py")
    sources = {str(file): file.read_text("utf-8") for file in files}
    assert len(sources) > 100
    # Parsing all modules would take seconds.
    named = {file: source for file, source in sources.items() if "random" in source}
    found = {file: shared_functions_used(source) for file, source in named.items()}
    assert found
    assert {file: used for file, used in found.items() if used} == {}
