"""A plugin of pytest that imports the modules of tests, so that their bytecode is saved.

It makes no tests of them, which takes longer than to import them. It leaves those of Hypothesis,
which reads the constants of the program's source and saves them, too.
"""

from __future__ import annotations

import pytest
from hypothesis import is_hypothesis_test


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(obj: object) -> list[pytest.Item] | None:
    return None if is_hypothesis_test(obj) else []
