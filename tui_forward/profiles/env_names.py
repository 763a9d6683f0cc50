"""Names of the environment variables of a profile's forwards, and which it must not set. Pure."""

from __future__ import annotations

import re
from typing import Final

_SUFFIXES: Final = ("HOST", "PORT", "URL")
# Variables by which a program finds code, its configuration or the server that it trusts. Setting
# one changes what the user's command runs or whom it sends its secrets to.
_PROTECTED: Final = re.compile(
    r"(?:LD|DYLD|BASH|PIP|UV|NPM_CONFIG|GIT_CONFIG|POETRY_REPOSITORIES)_.*"
    r"|(?:DOCKER|CONTAINER|BUILDKIT)_HOST|KUBERNETES_SERVICE_(?:HOST|PORT)"
    r"|AWS_(?:.*_)?ENDPOINT_URL"
    r"|PATH|ENV|IFS|HOME|SHELL|PS[0-9]|PROMPT_COMMAND|KUBECONFIG|EDITOR|VISUAL|PAGER|BROWSER"
    r"|PYTHON[A-Z]*|PERL5[A-Z]*|RUBY[A-Z]*|NODE_(?:OPTIONS|PATH)|CLASSPATH|JAVA_TOOL_OPTIONS"
    r"|GIT_[A-Z_]*(?:COMMAND|SSH|EDITOR|PAGER)|[A-Z]*_PROXY"
)


def variable_names(prefix: str) -> tuple[str, ...]:
    """Return the names of the variables of a forward: `DB_HOST`, `DB_PORT`, `DB_URL`."""
    return tuple(f"{prefix}_{suffix}" for suffix in _SUFFIXES)


def allowed_prefix(prefix: str) -> str:
    """Return a prefix, or a longer one if it would give protected variables."""
    return f"FORWARD_{prefix}" if any(map(is_protected, variable_names(prefix))) else prefix


def is_protected(name: str) -> bool:
    """Return whether no profile may set a variable."""
    return _PROTECTED.fullmatch(name.upper()) is not None
