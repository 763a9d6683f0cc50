"""Write-back of refreshed OIDC tokens to their kubeconfig, as in kubectl.

Only the two values change: comments, order and unknown fields stay. The file is replaced in one
step under client-go's lock file, so that kubectl and this program do not overwrite each other.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from tui_forward.common.atomic_file import write_atomically
from tui_forward.common.bounded_file import read_bounded
from tui_forward.errors import ConfigError
from tui_forward.kube.kubeconfig.schema import MAX_FILE_BYTES, parse, token_spans

_LOCK_TRIES = 20
_LOCK_PAUSE_S = 0.05


async def write_back_tokens(path: Path, user: str, changes: Mapping[str, str]) -> bool:
    """Replace values of a user's `auth-provider` configuration; return whether the file has them.

    Without write permission, or if the file no longer contains the user, the file stays as it is:
    the new tokens are used from memory, and the next start requires a login. A symbolic link is
    followed.
    """
    target = Path(os.path.realpath(path))  # noqa: ASYNC240 - one readlink
    try:
        async with _locked(target) as locked:
            return locked and _rewrite(target, user, changes)
    except OSError:
        return False


@asynccontextmanager
async def _locked(path: Path) -> AsyncIterator[bool]:
    """Hold client-go's lock (`<file>.lock`, created exclusively); yield False if it is taken."""
    lock = path.with_name(path.name + ".lock")
    for _ in range(_LOCK_TRIES):
        try:
            descriptor = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        except FileExistsError:
            await asyncio.sleep(_LOCK_PAUSE_S)
            continue
        os.close(descriptor)
        try:
            yield True
        finally:
            lock.unlink(missing_ok=True)
        return
    yield False


def _rewrite(path: Path, user: str, changes: Mapping[str, str]) -> bool:
    content = read_bounded(path, MAX_FILE_BYTES)
    try:
        text = content.decode("utf-8")
        spans, insert_at = token_spans(content, path, user)
    except (ConfigError, UnicodeDecodeError):
        return False
    if insert_at is None:
        return False
    edits = []
    for key, value in changes.items():
        # A JSON string is a YAML string, whatever the style of the old value.
        quoted = json.dumps(value)
        if key in spans:
            start, end = spans[key]
            # A block scalar reaches to the end of its last line.
            ending = "\n" if text[start:end].endswith("\n") else ""
            edits.append((start, end, quoted + ending))
        else:
            position, separator = insert_at
            edits.append((position, position, f"{key}: {quoted}{separator}"))
    for start, end, replacement in sorted(edits, reverse=True):
        text = text[:start] + replacement + text[end:]
    if not _contains(text.encode("utf-8"), path, user, changes):
        return False
    write_atomically(path, text.encode("utf-8"))
    return True


def _contains(content: bytes, path: Path, user: str, values: Mapping[str, str]) -> bool:
    """Whether the edited file is a valid kubeconfig with these values."""
    try:
        users = parse(content, path).users
    except ConfigError:
        return False
    entry = next((one.user for one, _ in users if (one.name or "") == user), None)
    if entry is None or entry.auth_provider is None:
        return False
    config = entry.auth_provider.config or {}
    return all(config.get(key) == value for key, value in values.items())
