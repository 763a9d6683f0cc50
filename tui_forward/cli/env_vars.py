"""Where a profile's forwards listen, as environment variables."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tui_forward.common import atomic_file
from tui_forward.common.links import Scheme, local_endpoint, scheme_of, url
from tui_forward.errors import ConfigError
from tui_forward.model import Forward
from tui_forward.profiles.profile import Profile


def env_vars(forwards: Iterable[Forward], profile: Profile) -> dict[str, str]:
    """`DB_HOST`, `DB_PORT` and, where it is known what a browser would say, `DB_URL`."""
    prefixes = {one.name: one.env for one in profile.forwards}
    found: dict[str, str] = {}
    for forward in forwards:
        local, prefix = local_endpoint(forward), prefixes.get(forward.spec.name)
        if local is None or prefix is None:
            continue
        host, port = local
        scheme = scheme_of(forward)
        found[f"{prefix}_HOST"] = host
        found[f"{prefix}_PORT"] = str(port)
        found[f"{prefix}_URL"] = (
            url(scheme, host, port)
            if isinstance(scheme, Scheme)
            else f"tcp://{f'[{host}]' if ':' in host else host}:{port}"
        )
    return found


def write_env_file(path: Path, found: dict[str, str]) -> None:
    """Write NAME=VALUE lines.

    Raises:
        ConfigError: The file cannot be written.
    """
    try:
        atomic_file.write_atomically(path, "".join(f"{k}={v}\n" for k, v in found.items()).encode())
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {(error.strerror or '').lower()}") from error
