"""Where the person's files are: what they write, and what is remembered for them."""

from __future__ import annotations

from pathlib import Path

from platformdirs import user_config_path, user_log_path, user_state_path

_NAME = "tui-forward"


def settings_file() -> Path:
    """The file with theme, keys and habits."""
    return user_config_path(_NAME) / "settings.toml"


def profiles_dir() -> Path:
    """The folder of the person's own profiles."""
    return user_config_path(_NAME) / "profiles"


def trusted_profiles_file() -> Path:
    """The file that says which of somebody else's profiles were agreed to."""
    return user_state_path(_NAME) / "trusted.json"


def favorites_file() -> Path:
    """The file with favourites and what was used lately."""
    return user_state_path(_NAME) / "browse.json"


def view_state_file() -> Path:
    """The file that says where the person was in the dashboard."""
    return user_state_path(_NAME) / "places.json"


def sessions_dir() -> Path:
    """The folder where engine processes write down what is on."""
    return user_state_path(_NAME) / "sessions"


def logs_dir() -> Path:
    """The folder where engine processes log."""
    return user_log_path(_NAME, appauthor=False)


def crash_report_file() -> Path:
    """The file with the last bug of the dashboard."""
    return user_state_path(_NAME) / "crash.log"
