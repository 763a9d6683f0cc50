"""File format of a kubeconfig, and positions of values in its text.

Errors name file and line and never quote content, which may be secret.
"""

from __future__ import annotations

import errno
import re
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tui_forward.common.bounded_file import read_bounded
from tui_forward.common.bounded_yaml import YamlLimitError, check_document, safe_loader
from tui_forward.errors import ConfigError

if TYPE_CHECKING:
    import yaml

# Thousands of clusters with their certificates.
MAX_FILE_BYTES = 32 * 2**20


class Extension(msgspec.Struct):
    """An extension of a cluster."""

    name: str = ""
    extension: object = None


class RawCluster(msgspec.Struct, rename="kebab"):
    """`clusters[].cluster`."""

    server: str | None = None
    tls_server_name: str | None = None
    insecure_skip_tls_verify: bool | None = None
    certificate_authority: str | None = None
    certificate_authority_data: str | None = None
    proxy_url: str | None = None
    disable_compression: bool | None = None
    extensions: list[Extension] | None = None


class RawContext(msgspec.Struct, rename="kebab"):
    """`contexts[].context`."""

    cluster: str | None = None
    user: str | None = None
    namespace: str | None = None


class EnvVar(msgspec.Struct):
    """An environment variable of an exec plugin."""

    name: str = ""
    value: str | None = None


class RawExec(msgspec.Struct, rename="camel"):
    """`users[].user.exec`."""

    command: str = ""
    api_version: str | None = None
    args: list[str] | None = None
    env: list[EnvVar] | None = None
    install_hint: str | None = None
    provide_cluster_info: bool | None = None
    interactive_mode: str | None = None


class RawAuthProvider(msgspec.Struct):
    """`users[].user.auth-provider`."""

    name: str = ""
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
    as_groups: list[str] | None = None
    as_user_extra: dict[str, list[str] | None] | None = None
    username: str | None = None
    password: str | None = None
    auth_provider: RawAuthProvider | None = None
    exec: RawExec | None = None


class NamedCluster(msgspec.Struct):
    """An item of `clusters`."""

    name: str
    cluster: RawCluster | None = None


class NamedContext(msgspec.Struct):
    """An item of `contexts`."""

    name: str
    context: RawContext | None = None


class NamedUser(msgspec.Struct):
    """An item of `users`."""

    name: str
    user: RawUser | None = None


class RawFile(msgspec.Struct, rename="kebab"):
    """A kubeconfig file."""

    current_context: str | None = None
    clusters: list[NamedCluster] | None = None
    contexts: list[NamedContext] | None = None
    users: list[NamedUser] | None = None


def read(path: Path) -> RawFile | None:
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


def parse(content: bytes, path: Path) -> RawFile:
    """Parse the content of a file; ConfigError names file and line, never the content."""
    import yaml

    hint = "Correct the file, or point KUBECONFIG or --kubeconfig at another one"
    try:
        check_document(content)
        loader = _loader()(content)
        try:
            node = loader.get_node() if loader.check_node() else None
            data = None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except YamlLimitError as error:
        raise ConfigError(
            f"the kubeconfig {path}, line {error.line}, column {error.column} is not accepted: "
            f"{error.problem}",
            hint=hint,
        ) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        # `problem` describes the grammar and may quote a word; str(error) quotes lines.
        problem = _QUOTED.sub("…", error.problem or "syntax error")
        raise ConfigError(
            f"the kubeconfig {path}{line} is not valid YAML: {problem}", hint=hint
        ) from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigError(
            f"the kubeconfig {path} is not valid YAML ({type(error).__name__})", hint=hint
        ) from None
    if data is None:
        return RawFile()
    try:
        return msgspec.convert(data, RawFile)
    except msgspec.ValidationError as error:
        problem, _, where = str(error).partition(" - at ")
        pointer = where.strip("`")
        line_number = _line_of(node, pointer)
        line = f", line {line_number}" if line_number else ""
        place = f" at {pointer.removeprefix('$').removeprefix('.')}" if pointer else ""
        raise ConfigError(
            f"the kubeconfig {path}{line} is not valid{place}: {problem}", hint=hint
        ) from None


def _loader() -> type[yaml.SafeLoader]:
    """Return the loader; it reads unquoted dates, times and `1:30` as strings, as client-go does.

    PyYAML reads the last as a number with base 60, whose length in digits takes quadratic time.
    """
    global _loader_class
    if _loader_class is None:
        base = safe_loader()
        resolvers = {
            first: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:timestamp"]
            for first, pairs in base.yaml_implicit_resolvers.items()
        }
        constructors = {
            **base.yaml_constructors,
            "tag:yaml.org,2002:int": _construct_number,
            "tag:yaml.org,2002:float": _construct_number,
        }
        members = {"yaml_implicit_resolvers": resolvers, "yaml_constructors": constructors}
        _loader_class = type("_Loader", (base,), members)
    return _loader_class


def _construct_number(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> object:
    if ":" in node.value:
        return node.value
    if node.tag.endswith(":int"):
        return loader.construct_yaml_int(node)
    return loader.construct_yaml_float(node)


_loader_class: type[yaml.SafeLoader] | None = None
_QUOTED = re.compile(r"(['\"]).{3,}\1")
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|\[\.\.\.\]")


def _line_of(node: yaml.Node | None, pointer: str) -> int:
    """Return the line of a value that msgspec calls `$.users[2].user.token`; 0 if unknown."""
    import yaml

    if node is None:
        return 0
    line = node.start_mark.line + 1
    for key, index in _STEP.findall(pointer):
        following: yaml.Node | None = None
        if index and isinstance(node, yaml.SequenceNode) and int(index) < len(node.value):
            following = node.value[int(index)]
            line = following.start_mark.line + 1
        elif key and isinstance(node, yaml.MappingNode):
            for name, value in node.value:
                if name.value == key:
                    following = value
                    line = name.start_mark.line + 1
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
    import yaml

    try:
        check_document(content)
        loader = _loader()(content)
        try:
            node: yaml.Node | None = loader.get_node() if loader.check_node() else None
        finally:
            loader.dispose()
    except (yaml.YAMLError, YamlLimitError):
        raise ConfigError(f"the kubeconfig {path} is not valid YAML") from None
    users = _child(node, "users")
    for entry in users.value if isinstance(users, yaml.SequenceNode) else ():
        name = _child(entry, "name")
        if name is None or name.value != user:
            continue
        config = _child(_child(_child(entry, "user"), "auth-provider"), "config")
        if not isinstance(config, yaml.MappingNode) or not config.value:
            return {}, None
        spans = {
            key.value: (value.start_mark.index, value.end_mark.index) for key, value in config.value
        }
        first: yaml.Node = config.value[0][0]
        separator = ", " if config.flow_style else "\n" + " " * first.start_mark.column
        return spans, (first.start_mark.index, separator)
    return {}, None


def _child(node: yaml.Node | None, key: str) -> yaml.Node | None:
    import yaml

    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for name, value in node.value if name.value == key), None)
