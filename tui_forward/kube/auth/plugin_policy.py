"""Which exec plugins may run: the policy in kubectl's preferences (`kuberc`).

`KUBERC` names the file, else it is `~/.kube/kuberc`. `KUBERC=off` and `KUBECTL_KUBERC=false` turn
it off. Of its documents the first valid one counts; only `kubectl.config.k8s.io/v1beta1` has a
policy. As in kubectl, a default file that cannot be read is no policy, and one that is named is an
error.
"""

from __future__ import annotations

import errno
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from tui_forward.common.bounded_file import read_bounded
from tui_forward.common.executables import find_executable
from tui_forward.errors import ConfigError
from tui_forward.kube.kubeconfig.go_yaml import GoYamlError, compose, to_value

_log = logging.getLogger(__name__)

_GROUP: Final = "kubectl.config.k8s.io/"
_VERSIONS: Final = frozenset(_GROUP + version for version in ("v1alpha1", "v1beta1"))
_VERSION_WITH_POLICY: Final = f"{_GROUP}v1beta1"
_SEPARATOR: Final = re.compile(rb"^---[ \t]*(?:#.*)?\r?$", re.MULTILINE)
_MAX_BYTES: Final = 1024 * 1024
_ALLOW, _DENY, _LIST = "AllowAll", "DenyAll", "Allowlist"


class PluginPolicy(NamedTuple):
    """A valid policy. `allowed` are names and paths of an allowlist, None without one."""

    source: Path | None = None
    denies_all: bool = False
    allowed: tuple[str, ...] | None = None

    def refusal(self, command: str, executable: str, path: str | None) -> str:
        """Return why a plugin may not run; empty if it may.

        `command` is the one in the kubeconfig, `executable` what it stands for in the PATH.
        """
        if self.denies_all:
            return f"credentialPluginPolicy is {_DENY} in {self.source}"
        if self.allowed is None:
            return ""
        names = {os.path.normpath(command), executable}
        for entry in self.allowed:
            is_same_name = os.path.basename(entry) == os.path.basename(command)  # noqa: PTH119
            if entry in names or (is_same_name and find_executable(entry, path) == executable):
                return ""
        return f"credentialPluginAllowlist does not contain it in {self.source}"


class _Entry(msgspec.Struct):
    command: str | None = None
    name: str | None = None


class _Preference(msgspec.Struct, rename="camel"):
    api_version: str | None = None
    kind: str | None = None
    credential_plugin_policy: str | None = None
    credential_plugin_allowlist: list[_Entry | None] | None = None


def load_policy(environ: Mapping[str, str]) -> PluginPolicy:
    """Return the policy for the environment of a user. Reads a file.

    ConfigError: the policy is invalid, or the file of `KUBERC` cannot be read.
    """
    named = environ.get("KUBERC", "")
    if named == "off" or environ.get("KUBECTL_KUBERC", "").lower() == "false":
        return PluginPolicy()
    home = environ.get("HOME", "")
    if not named and not home:
        return PluginPolicy()
    path = Path(named) if named else Path(home) / ".kube" / "kuberc"
    problem = ""
    try:
        content = read_bounded(path, _MAX_BYTES)
    except OSError as error:
        if not named and error.errno in {errno.ENOENT, errno.ENOTDIR}:
            return PluginPolicy()
        problem = error.strerror or type(error).__name__
    else:
        documents = [part for part in _SEPARATOR.split(content) if part.strip()]
        preference = next(_valid(documents), None)
        if preference is not None:
            return _policy(preference, path)
        if not documents:
            return PluginPolicy()
        problem = f"it contains no Preference of {_VERSION_WITH_POLICY}"
    if named:
        raise ConfigError(
            f"the file {path} of KUBERC cannot be used: {problem}",
            hint="Correct the file, or set KUBERC=off",
        )
    _log.warning("%s has no effect: %s", path, problem)
    return PluginPolicy()


def _valid(documents: Sequence[bytes]) -> Iterator[_Preference]:
    for document in documents:
        try:
            node = compose(document)
            data = None if node is None else to_value(node)
            preference = msgspec.convert(data, _Preference)
        except (GoYamlError, msgspec.ValidationError):
            continue
        if preference.kind == "Preference" and preference.api_version in _VERSIONS:
            yield preference


def _policy(preference: _Preference, path: Path) -> PluginPolicy:
    if preference.api_version != _VERSION_WITH_POLICY:
        return PluginPolicy(path)
    policy = preference.credential_plugin_policy or ""
    entries = preference.credential_plugin_allowlist

    def invalid(problem: str) -> ConfigError:
        return ConfigError(f"the credential plugin policy in {path} {problem}", hint="Correct it")

    if policy not in {"", _ALLOW, _DENY, _LIST}:
        raise invalid(f"is none of {_ALLOW}, {_DENY} and {_LIST}")
    if policy != _LIST:
        if entries is not None:
            raise invalid(f"has credentialPluginAllowlist, but is not {_LIST}")
        return PluginPolicy(path, denies_all=policy == _DENY)
    if not entries:
        raise invalid(f"is {_LIST}, but the list is empty")
    allowed = []
    for entry in entries:
        command, name = (entry.command or "", entry.name or "") if entry is not None else ("", "")
        if not (command or name) or (command and name and command != name):
            raise invalid("has an entry without command, or with another name")
        text = command or name
        if text.startswith("//") or os.path.normpath(text) != text:
            raise invalid("has an entry whose path is not in its shortest form")
        allowed.append(text)
    return PluginPolicy(path, allowed=tuple(allowed))
