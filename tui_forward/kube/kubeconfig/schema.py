"""File format of a kubeconfig, and positions of values in its text.

Errors name file and line and never quote content, which may be secret.
"""

from __future__ import annotations

import base64
import binascii
import errno
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from pathlib import Path
from typing import Final, Protocol, TypeVar

import msgspec

from tui_forward.common.bounded_file import read_bounded
from tui_forward.errors import ConfigError
from tui_forward.kube.kubeconfig.go_yaml import GoYamlError, Node, compose, to_value

# Thousands of clusters with their certificates.
MAX_FILE_BYTES = 32 * 2**20

Item = TypeVar("Item", bound=msgspec.Struct)


class _Named(Protocol):
    name: str | None


class Extension(msgspec.Struct):
    """An extension of a file, a cluster, a context or a user."""

    name: str | None = None
    extension: object = None


Extensions = list[Extension | None] | None


class RawCluster(msgspec.Struct, rename="kebab"):
    """`clusters[].cluster`."""

    server: str | None = None
    tls_server_name: str | None = None
    insecure_skip_tls_verify: bool | None = None
    certificate_authority: str | None = None
    certificate_authority_data: str | None = None
    proxy_url: str | None = None
    disable_compression: bool | None = None
    extensions: Extensions = None


class RawContext(msgspec.Struct, rename="kebab"):
    """`contexts[].context`."""

    cluster: str | None = None
    user: str | None = None
    namespace: str | None = None
    extensions: Extensions = None


class EnvVar(msgspec.Struct):
    """An environment variable of an exec plugin."""

    name: str | None = None
    value: str | None = None


class RawExec(msgspec.Struct, rename="camel"):
    """`users[].user.exec`."""

    command: str | None = None
    api_version: str | None = None
    args: list[str | None] | None = None
    env: list[EnvVar | None] | None = None
    install_hint: str | None = None
    provide_cluster_info: bool | None = None
    interactive_mode: str | None = None


class RawAuthProvider(msgspec.Struct):
    """`users[].user.auth-provider`."""

    name: str | None = None
    config: dict[str, str | None] | None = None


class RawUser(msgspec.Struct, rename="kebab"):
    """`users[].user`."""

    client_certificate: str | None = None
    client_certificate_data: str | None = None
    client_key: str | None = None
    client_key_data: str | None = None
    token: str | None = None
    token_file: str | None = msgspec.field(name="tokenFile", default=None)
    as_: str | None = msgspec.field(name="as", default=None)
    as_uid: str | None = None
    as_groups: list[str | None] | None = None
    as_user_extra: dict[str, list[str | None] | None] | None = None
    username: str | None = None
    password: str | None = None
    auth_provider: RawAuthProvider | None = None
    exec: RawExec | None = None
    extensions: Extensions = None


class NamedCluster(msgspec.Struct):
    """An item of `clusters`."""

    name: str | None = None
    cluster: RawCluster | None = None


class NamedContext(msgspec.Struct):
    """An item of `contexts`."""

    name: str | None = None
    context: RawContext | None = None


class NamedUser(msgspec.Struct):
    """An item of `users`."""

    name: str | None = None
    user: RawUser | None = None


class RawPreferences(msgspec.Struct):
    """`preferences`, which nothing uses; kubectl checks the types."""

    colors: bool | None = None
    extensions: Extensions = None


class RawFile(msgspec.Struct, rename="kebab"):
    """A kubeconfig file."""

    kind: str | None = None
    api_version: str | None = msgspec.field(name="apiVersion", default=None)
    preferences: RawPreferences | None = None
    current_context: str | None = None
    clusters: list[NamedCluster | None] | None = None
    contexts: list[NamedContext | None] | None = None
    users: list[NamedUser | None] | None = None
    extensions: Extensions = None


class ParsedFile(msgspec.Struct, frozen=True):
    """A kubeconfig file, and the lines of the items of its lists, counted from 1.

    An item that is `null` is one without values, as in kubectl.
    """

    current_context: str = ""
    clusters: Sequence[tuple[NamedCluster, int]] = ()
    contexts: Sequence[tuple[NamedContext, int]] = ()
    users: Sequence[tuple[NamedUser, int]] = ()


def read(path: Path) -> ParsedFile | None:
    """Read a file; None if it does not exist."""
    try:
        content = read_bounded(path, MAX_FILE_BYTES)
    except FileNotFoundError:
        return None
    except IsADirectoryError as error:
        raise ConfigError(
            f"{path} is a folder, not a kubeconfig",
            hint="Point KUBECONFIG or --kubeconfig at a file",
        ) from error
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise ConfigError(
                f"{path} is too large to be a kubeconfig (more than {MAX_FILE_BYTES} bytes)",
                hint="Point KUBECONFIG or --kubeconfig at a kubeconfig file",
            ) from error
        raise ConfigError(
            f"the kubeconfig {path} cannot be read: {error.strerror or error}",
            hint="Check the owner and the mode of the file",
        ) from error
    return parse(content, path)


def parse(content: bytes, path: Path) -> ParsedFile:
    """Parse the content of a file; ConfigError names file and line, never the content."""
    try:
        node = compose(content)
        data = None if node is None else to_value(node)
    except GoYamlError as error:
        where = f", line {error.line}, column {error.column}" if error.line else ""
        what = "valid YAML" if error.is_syntax else "accepted"
        raise ConfigError(
            f"the kubeconfig {path}{where} is not {what}: {error.problem}", hint=_HINT
        ) from None
    if node is None or data is None:
        return ParsedFile()
    try:
        raw = msgspec.convert(data, RawFile)
    except msgspec.ValidationError as error:
        problem, _, where = str(error).partition(" - at ")
        pointer = where.strip("`").removeprefix("$").removeprefix(".")
        raise _error(path, node, pointer, problem) from None
    for pointer, problem in _problems(raw):
        raise _error(path, node, pointer, problem)
    return ParsedFile(
        current_context=raw.current_context or "",
        clusters=_with_lines(raw.clusters, node.child("clusters"), NamedCluster),
        contexts=_with_lines(raw.contexts, node.child("contexts"), NamedContext),
        users=_with_lines(raw.users, node.child("users"), NamedUser),
    )


def _error(path: Path, node: Node, pointer: str, problem: str) -> ConfigError:
    place = f" at {pointer}" if pointer else ""
    line = _line_of(node, pointer)
    return ConfigError(
        f"the kubeconfig {path}, line {line} is not valid{place}: {problem}", hint=_HINT
    )


def _with_lines(
    items: list[Item | None] | None, node: Node | None, empty: Callable[[], Item]
) -> tuple[tuple[Item, int], ...]:
    nodes = node.items if node is not None else []
    lines = [item.line + 1 for item in nodes] if len(nodes) == len(items or ()) else repeat(0)
    return tuple((item or empty(), line) for item, line in zip(items or (), lines, strict=False))


def _problems(raw: RawFile) -> Iterator[tuple[str, str]]:
    """Yield what kubectl refuses in a file although the types are right: place and problem."""
    if (raw.api_version or "") not in _API_VERSIONS:
        yield "apiVersion", "a kubeconfig has the apiVersion v1"
    if (raw.kind or "Config") != "Config":
        yield "kind", "a kubeconfig has the kind Config"
    yield from _repeated("clusters", raw.clusters)
    yield from _repeated("contexts", raw.contexts)
    yield from _repeated("users", raw.users)
    yield from _repeated("extensions", raw.extensions)
    if raw.preferences is not None:
        yield from _repeated("preferences.extensions", raw.preferences.extensions)
    for index, named in enumerate(raw.clusters or ()):
        if named is not None and (cluster := named.cluster) is not None:
            place = f"clusters[{index}].cluster"
            yield from _repeated(f"{place}.extensions", cluster.extensions)
            data = cluster.certificate_authority_data
            yield from _undecodable(f"{place}.certificate-authority-data", data)
    for index, named_context in enumerate(raw.contexts or ()):
        if named_context is not None and (context := named_context.context) is not None:
            yield from _repeated(f"contexts[{index}].context.extensions", context.extensions)
    for index, named_user in enumerate(raw.users or ()):
        if named_user is not None and (user := named_user.user) is not None:
            place = f"users[{index}].user"
            yield from _repeated(f"{place}.extensions", user.extensions)
            yield from _undecodable(
                f"{place}.client-certificate-data", user.client_certificate_data
            )
            yield from _undecodable(f"{place}.client-key-data", user.client_key_data)


def _repeated(place: str, items: Sequence[_Named | None] | None) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for index, item in enumerate(items or ()):
        name = (item.name if item is not None else "") or ""
        if name in seen:
            yield f"{place}[{index}]", f'the name "{name}" is used twice in this list'
        seen.add(name)


def _undecodable(place: str, data: str | None) -> Iterator[tuple[str, str]]:
    try:
        decode_base64(data or "")
    except ValueError:
        yield place, "it is not base64 (only line breaks may be inside)"


def decode_base64(data: str) -> bytes:
    """Return what a `*-data` field stands for; as in Go, line breaks are ignored.

    ValueError: it is not base64.
    """
    try:
        return base64.b64decode(data.replace("\r", "").replace("\n", ""), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("not base64") from None


_HINT: Final = "Correct the file, or point KUBECONFIG or --kubeconfig at another one"
# As Go parses group and version; an empty one stands for v1.
_API_VERSIONS: Final = frozenset({"", "/", "v1", "/v1", "__internal"})
_STEP: Final = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|\[\.\.\.\]")


def _line_of(node: Node, pointer: str) -> int:
    """Return the line of a value that is called `users[2].user.token`, or of what is around it."""
    line = node.line + 1
    for key, index in _STEP.findall(f".{pointer}"):
        following: Node | None = None
        if index and int(index) < len(node.items):
            following = node.items[int(index)]
            line = following.line + 1
        elif key:
            for name, value in node.pairs or ():
                if name.text == key:
                    following = value
                    line = name.line + 1
        if following is None:
            return line
        node = following
    return line


def token_spans(
    content: bytes, path: Path, user: str
) -> tuple[dict[str, tuple[int, int]], tuple[int, str] | None]:
    """Find the values of a user's `auth-provider` configuration in the text of a file.

    Returns start and end of each value, in characters; and where another entry can be inserted,
    with the separator behind it, or None if the file has no such configuration.
    """
    try:
        node = compose(content)
    except GoYamlError:
        raise ConfigError(f"the kubeconfig {path} is not valid YAML") from None
    users = node.child("users") if node is not None else None
    for entry in users.items if users is not None else ():
        name = entry.child("name")
        if name is None or name.text != user:
            continue
        config: Node | None = entry
        for key in ("user", "auth-provider", "config"):
            config = config.child(key) if config is not None else None
        if config is None or not config.pairs:
            return {}, None
        spans = {key.text or "": (value.start, value.end) for key, value in config.pairs}
        first = config.pairs[0][0]
        separator = ", " if config.is_flow else "\n" + " " * first.column
        return spans, (first.start, separator)
    return {}, None
