from __future__ import annotations

import subprocess
import sys

import pytest

from tui_forward.common.terminal_encoding import terminal_encoding


@pytest.mark.parametrize(
    ("environ", "encoding"),
    [
        ({}, "ascii"),
        ({"LANG": ""}, "ascii"),
        ({"LANG": "C"}, "ascii"),
        ({"LC_ALL": "C", "LANG": "en_US.UTF-8"}, "ascii"),
        ({"LC_ALL": "POSIX", "LC_CTYPE": "UTF-8"}, "ascii"),
        ({"LC_CTYPE": "C", "LANG": "en_US.UTF-8"}, "ascii"),
        ({"LC_ALL": "", "LC_CTYPE": "", "LANG": "POSIX"}, "ascii"),
        ({"LC_ALL": "C.UTF-8"}, "utf-8"),
        ({"LC_ALL": "C.utf8", "LANG": "C"}, "utf-8"),
        ({"LC_CTYPE": "UTF-8", "LANG": "C"}, "utf-8"),  # macOS, also over ssh and mosh
        ({"LC_CTYPE": "UTF-8"}, "utf-8"),
        ({"LANG": "de_DE.UTF-8@euro", "LC_MESSAGES": "C"}, "utf-8"),
        ({"LC_ALL": "C", "PYTHONUTF8": "1"}, "utf-8"),
        ({"LC_ALL": "C", "PYTHONIOENCODING": "utf-8"}, "utf-8"),
    ],
)
def test_locale_decides_with_the_first_variable_that_is_set(
    environ: dict[str, str], encoding: str
) -> None:
    assert terminal_encoding("utf-8", environ) == encoding


def test_encoding_of_another_locale_is_the_one_that_python_has_found() -> None:
    assert terminal_encoding("iso8859-1", {"LANG": "de_DE"}) == "iso8859-1"


@pytest.mark.skipif(sys.platform != "linux", reason="macOS keeps no variables of the start")
@pytest.mark.parametrize(
    ("environ", "encoding"),
    [
        ({}, "ascii"),  # Python sets LC_CTYPE=C.UTF-8
        ({"LC_ALL": "C"}, "ascii"),
        ({"LC_CTYPE": "C.UTF-8"}, "utf-8"),
    ],
)
def test_locale_is_the_one_before_python_replaced_it(
    environ: dict[str, str], encoding: str
) -> None:
    code = (
        "import sys; from tui_forward.common.terminal_encoding import terminal_encoding;"
        "print(terminal_encoding(sys.stdout.encoding))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True,
        timeout=60,
    )  # fmt: skip
    assert done.stdout.strip() == encoding
