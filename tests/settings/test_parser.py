from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.settings.samples import GOOD
from tui_forward.model import ForwardDefaults
from tui_forward.settings import parser
from tui_forward.settings.parser import (
    AskPolicy,
    LogLevel,
    Notifications,
    Settings,
    SettingsProblem,
    load_settings,
)


def problem_text(found: Settings) -> str:
    return "\n".join(map(str, found.problems))


def test_valid_file_is_read(path: Path) -> None:
    path.write_text(GOOD)
    found = load_settings(path)
    assert found.theme == "forward-light"
    assert found.keys == {"forwards.stop": "ctrl+x,delete", "app.help": "f2"}
    assert found.key_lines == {"forwards.stop": 5, "app.help": 6}
    assert found.setting_lines == {"theme": 2, "keys": 4}
    assert not found.problems


def test_ask_policies_are_read(path: Path) -> None:
    path.write_text('keep_running = "always"\nrestore = "never"\n')
    found = load_settings(path)
    assert (found.keep_running, found.restore) == (AskPolicy.ALWAYS, AskPolicy.NEVER)
    assert not found.problems
    path.write_text('keep_running = "sometimes"\nrestore = true\n')
    found = load_settings(path)
    assert (found.keep_running, found.restore) == (AskPolicy.ASK, AskPolicy.ASK)
    assert problem_text(found) == (
        "settings.toml, line 1: keep_running is not one of ask, always, never. "
        'Write keep_running = "ask"\n'
        'settings.toml, line 2: restore is not one of ask, always, never. Write restore = "ask"'
    )


def test_forward_defaults_and_dashboard_settings_are_read(path: Path) -> None:
    path.write_text(
        'address = ["127.0.0.1, ::1", "0.0.0.0"]\nqueue_timeout = "2m"\n'
        "half_close_timeout = 0.5\nrefresh = 1\n"
        'notifications = "problems"\nlog_level = "debug"\ndisk_buffer = "1GB"\n'
        'login_command = "aws sso login"\nprotected_contexts = ["prod*", " *live "]\n'
    )
    found = load_settings(path)
    assert not found.problems
    assert found.forwards == ForwardDefaults(
        addresses=("127.0.0.1", "::1", "0.0.0.0"), queue_timeout_s=120.0, half_close_timeout_s=0.5
    )
    assert (found.refresh_s, found.notifications) == (1.0, Notifications.PROBLEMS)
    assert (found.log_level, found.disk_buffer) == (LogLevel.DEBUG, 1_000_000_000)
    assert found.login_command == "aws sso login"
    assert found.protected_contexts == ("prod*", "*live")
    assert found.setting_lines == {
        "address": 1, "queue_timeout": 2, "half_close_timeout": 3, "refresh": 4, "notifications": 5,
        "log_level": 6, "disk_buffer": 7, "login_command": 8,
        "protected_contexts": 9,
    }  # fmt: skip


def test_readme_example_sets_every_setting(path: Path) -> None:
    readme = Path(__file__).parents[2] / "README.md"
    path.write_text(
        readme.read_text(encoding="utf-8").partition("```toml\n")[2].partition("```")[0]
    )
    found = load_settings(path)
    assert not found.problems
    assert found.setting_lines.keys() == parser._SETTINGS.keys()


def test_missing_file_gives_defaults_without_problem(path: Path) -> None:
    assert load_settings(path) == Settings()


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (b'theme = "a"\nkeys = [', None, "is not TOML"),
        (b'theme = "a"\ntheme = "b"\n', 2, "is not TOML"),
        (b'x = \n', 1, "is not TOML: invalid value"),
        (b'theme = "a"\n# \xff\n', 2, "is not UTF-8"),
        (b"theme = 3\n", 1, "theme is not a name"),
        (b'\n\nkeys = "x"\n', 3, "keys is not a table"),
        (b'[keys]\n"forwards.stop" = 7\n', 2, "keys of 'forwards.stop' are not in quotes"),
        (b'[keys.forwards]\nstop = ["x"]\n', 2, "keys of 'forwards.stop' are not in quotes"),
        (b'themes = "a"\n', 1, "unknown setting 'themes'"),
        (b"x = " + b"[" * 20_000, None, "is not TOML"),
        (b"x = " + b"9" * 5_000, None, "is not TOML: a number is too long"),
        (b'\naddress = "nowhere"\n', 2, 'address: "nowhere" is not an address'),
        (b'address = ["::1", "x"]\n', 1, 'address: "x" is not an address'),
        (b"address = []\n", 1, "address: must be an address in quotes"),
        (b'address = ["::1", 1]\n', 1, "address: must be an address in quotes"),
        (b'address = "\\u001b[31m"\n', 1, 'address: " [31m" is not an address'),
        (b'# \nqueue_timeout = "soon"\n', 2, 'queue_timeout: "soon" is not a duration'),
        (b'queue_timeout = "25h"\n', 1, 'queue_timeout: "25h" is too long'),
        (b"queue_timeout = -1\n", 1, "queue_timeout: must be a duration of at most 24h"),
        (b"queue_timeout = nan\n", 1, "queue_timeout: must be a duration"),
        (b"half_close_timeout = true\n", 1, "half_close_timeout: must be a duration"),
        (b"half_close_timeout = 0x" + b"f" * 9_000, 1, "half_close_timeout: must be a duration"),
        (b"refresh = 0.05\n", 1, "refresh is not a number from 0.1 to 5"),
        (b'refresh = "1s"\n', 1, "refresh is not a number from 0.1 to 5"),
        (b"refresh = true\n", 1, "refresh is not a number from 0.1 to 5"),
        (b'notifications = "some"\n', 1, "notifications is not one of all, problems, none"),
        (b'log_level = "trace"\n', 1, "log_level is not one of debug, info, warning, error"),
        (b'[keys]\nqueue_timeout = "1m"\n', 2, "queue_timeout is not a key"),
        (b"#" * 300_000, None, "too large"),
    ],
)  # fmt: skip
def test_invalid_setting_is_reported_with_its_line(
    path: Path, content: bytes, line: int | None, message: str
) -> None:
    path.write_bytes(content)
    found = load_settings(path)
    assert len(found.problems) == 1
    problem = found.problems[0]
    assert (problem.file, problem.line) == ("settings.toml", line)
    assert message in problem.message
    assert problem.hint
    assert problem.message.isprintable()
    assert not found.keys
    assert found.forwards == ForwardDefaults()


def test_valid_settings_take_effect_beside_invalid_ones(path: Path) -> None:
    path.write_text('theme = "mine"\ncolor = 1\n[keys]\n"app.help" = 3\n"app.quit" = "ctrl+d"\n')
    found = load_settings(path)
    assert (found.theme, found.setting_lines) == ("mine", {"theme": 1, "keys": 3})
    assert found.keys == {"app.quit": "ctrl+d"}
    assert len(found.problems) == 2


def test_folder_is_reported_as_unreadable(path: Path) -> None:
    path.mkdir()
    assert "cannot be read" in problem_text(load_settings(path))


def test_byte_order_mark_and_crlf_are_accepted(path: Path) -> None:
    path.write_bytes(b'\xef\xbb\xbftheme = "a"\r\n[keys]\r\n"app.quit" = "Q"\r\n')
    found = load_settings(path)
    assert (found.theme, dict(found.keys), dict(found.key_lines)) == ("a", {"app.quit": "Q"},
        {"app.quit": 3})  # fmt: skip


def test_problem_text_names_file_line_and_hint() -> None:
    assert str(SettingsProblem("settings.toml", 3, "is odd", "Fix it")) == (
        "settings.toml, line 3: is odd. Fix it"
    )
    assert str(SettingsProblem("settings.toml", None, "is odd")) == "settings.toml: is odd"


@given(
    st.binary(max_size=200) | st.text(alphabet='[]"=.#{}\n tkehmys', max_size=80).map(str.encode)
)
@hypothesis_settings(max_examples=150)
def test_garbage_never_raises(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("garbage") / "settings.toml"
    path.write_bytes(data)
    load_settings(path)
