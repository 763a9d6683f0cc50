"""Paths of the user's files: configuration and state."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from platformdirs import user_cache_path, user_config_path, user_log_path, user_state_path

from tui_forward.common.user_folders import home_dir

_NAME = "tui-forward"


def _find(folder_of: Callable[..., Path], **options: bool) -> Path:
    """Return a folder of this program; one that does not exist if the user has no home folder."""
    try:
        return folder_of(_NAME, **options)
    except RuntimeError:
        return home_dir() / _NAME


def settings_file() -> Path:
    """Return the file with theme, keys and preferences."""
    return _find(user_config_path) / "settings.toml"


def profiles_dir() -> Path:
    """Return the directory of the user's own profiles."""
    return _find(user_config_path) / "profiles"


def trusted_profiles_file() -> Path:
    """Return the file with the profiles of others that the user trusts."""
    return _find(user_state_path) / "trusted.json"


def favorites_file() -> Path:
    """Return the file with favorites and recently used objects."""
    return _find(user_state_path) / "browse.json"


def view_state_file() -> Path:
    """Return the file with the view state of the dashboard."""
    return _find(user_state_path) / "places.json"


def sessions_dir() -> Path:
    """Return the directory of saved sessions."""
    return _find(user_state_path) / "sessions"


def logs_dir() -> Path:
    """Return the directory of engine logs."""
    return _find(user_log_path, appauthor=False)


def spill_dir() -> Path:
    """Return the directory of files that hold data of slow clients for a moment."""
    return _find(user_cache_path) / "spill"


def crash_report_file() -> Path:
    """Return the file with the last crash report of the dashboard."""
    return _find(user_state_path) / "crash.log"
