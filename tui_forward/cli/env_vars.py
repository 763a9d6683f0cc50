"""Environment variables with the local addresses of a profile's forwards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from tui_forward.common import atomic_file
from tui_forward.common.env_file import format_variable
from tui_forward.common.links import Scheme, local_endpoint, scheme_of, url
from tui_forward.errors import ConfigError, UsageError
from tui_forward.model import Forward
from tui_forward.profiles.env_names import variable_names
from tui_forward.profiles.profile import Profile


def env_vars(forwards: Iterable[Forward], profile: Profile) -> dict[str, str]:
    """Return `DB_HOST`, `DB_PORT` and `DB_URL` for each forward that listens.

    The URL has the scheme `tcp` if the application protocol is not known.
    """
    prefixes = {one.name: one.env for one in profile.forwards}
    variables: dict[str, str] = {}
    for forward in forwards:
        local, prefix = local_endpoint(forward), prefixes.get(forward.spec.name)
        if local is None or prefix is None:
            continue
        host, port = local
        scheme = scheme_of(forward)
        address = (
            url(scheme, host, port)
            if isinstance(scheme, Scheme)
            else f"tcp://{f'[{host}]' if ':' in host else host}:{port}"
        )
        values = (host, str(port), address)
        variables.update(zip(variable_names(prefix), values, strict=True))
    return variables


def check_env(profile: Profile, environ: Mapping[str, str]) -> None:
    """Raise UsageError if a variable of the profile would replace one of an environment."""
    names = [name for one in profile.forwards for name in variable_names(one.env)]
    if taken := [name for name in names if name in environ]:
        what = f"{taken[0]} is" if len(taken) == 1 else f"{', '.join(taken)} are"
        raise UsageError(
            f"{what} set in your environment, and {profile.name} would replace "
            f"{'it' if len(taken) == 1 else 'them'}",
            hint="unset it, change `env` in the profile, or add --override-env",
        )


def write_env_file(path: Path, variables: dict[str, str]) -> None:
    """Write NAME=VALUE lines, quoted for a shell; ConfigError if the file cannot be written."""
    text = "".join(f"{format_variable(name, value)}\n" for name, value in variables.items())
    try:
        atomic_file.write_atomically(path, text.encode(), follow_links=False)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {(error.strerror or '').lower()}") from error
