"""README's example project is a project that works."""

from __future__ import annotations

import re

import pytest

from tests.support.cluster_process import REPOSITORY


def test_example_project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    text = (REPOSITORY / "README.md").read_text("utf-8")
    for name, content in re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```", text, re.M | re.S):
        pytester.path.joinpath(name).write_text(content)
    assert {path.name for path in pytester.path.iterdir()} == {"conftest.py", "test_orders.py"}
    pytester.runpytest("-p", "no:cacheprovider", "-p", "no:asyncio").assert_outcomes(passed=1)
