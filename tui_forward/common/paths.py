"""Paths of the user's files: configuration and state."""

from __future__ import annotations

from pathlib import Path

from platformdirs import user_cache_path, user_config_path, user_log_path, user_state_path

_NAME = "tui-forward"


def settings_file() -> Path:
    """Return the file with theme, keys and preferences."""
    return user_config_path(_NAME) / "settings.toml"


def profiles_dir() -> Path:
    """Return the directory of the user's own profiles."""
    return user_config_path(_NAME) / "profiles"


def trusted_profiles_file() -> Path:
    """Return the file with the profiles of others that the user trusts."""
    return user_state_path(_NAME) / "trusted.json"


def favorites_file() -> Path:
    """Return the file with favorites and recently used objects."""
    return user_state_path(_NAME) / "browse.json"


def view_state_file() -> Path:
    """Return the file with the view state of the dashboard."""
    return user_state_path(_NAME) / "places.json"


def sessions_dir() -> Path:
    """Return the directory of saved sessions."""
    return user_state_path(_NAME) / "sessions"


def logs_dir() -> Path:
    """Return the directory of engine logs."""
    return user_log_path(_NAME, appauthor=False)


def spill_dir() -> Path:
    """Return the directory of files that hold data of slow clients for a moment."""
    return user_cache_path(_NAME) / "spill"


def crash_report_file() -> Path:
    """Return the file with the last crash report of the dashboard."""
    return user_state_path(_NAME) / "crash.log"
