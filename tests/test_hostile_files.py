"""No file, and no output of a program, makes a reader crash, hang or fill the memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tui_forward.common.bounded_file import MAX_BYTES
from tui_forward.daemon import log_record, session_store
from tui_forward.errors import TuiForwardError
from tui_forward.kube.auth import oidc
from tui_forward.kube.auth.exec_plugin import ExecPlugin
from tui_forward.kube.auth.gcp import GcpProvider
from tui_forward.kube.errors import parse_status
from tui_forward.kube.kubeconfig.loader import AuthProviderEntry, ClusterEntry, ExecEntry
from tui_forward.profiles.importers.importer import import_forwards
from tui_forward.profiles.trust import TrustStore
from tui_forward.settings.parser import load_settings
from tui_forward.settings.writer import save_theme
from tui_forward.tui.storage.favorites import Favorites
from tui_forward.tui.storage.view_state import ViewStateStore

DEEP = 200_000
CONTENTS = {
    "deep arrays": b"[" * DEEP,
    "deep objects": b'{"a":' * DEEP,
    "deep in a known field": b'{"forwards":' + b"[" * DEEP,
    "deep toml": b"a = " + b"[" * DEEP,
    "deep toml table": b"a = " + b"{b=" * DEEP,
    "deep toml key": b"a." * 50_000 + b"b = 1",
    "long number": b'{"a": ' + b"1" * 100_000 + b"}",
    "not text": b"\xff\xfe\x00",
    "empty": b"",
    "too large": b" " * (MAX_BYTES + 1),
}


def exec_plugin(content: bytes) -> None:
    entry = ExecEntry(command="p", api_version="client.authentication.k8s.io/v1")
    ExecPlugin(entry, ClusterEntry(name="c"), {})._parse(content, len(content) + 1)


# Each reader of bytes, and of a path.
READERS: dict[str, Callable[[bytes], Any]] = {
    "exec plugin": exec_plugin,
    "gcp command": GcpProvider(AuthProviderEntry("gcp"), {})._parse,
    "identity provider": lambda content: oidc._decode(content, oidc._Tokens),
    "status": parse_status,
    "log": log_record.decode_entry,
    "import": import_forwards,
}
FILES: dict[str, Callable[[Path], Any]] = {
    "session": session_store.load_session,
    "settings": load_settings,
    "theme": lambda path: save_theme(path, "dark"),
    "favorites": lambda path: Favorites(path),
    "view state": lambda path: ViewStateStore(path),
    "trust": lambda path: TrustStore(path).is_trusted(path, ""),
}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=list(CONTENTS))
@pytest.mark.parametrize("read", READERS.values(), ids=list(READERS))
def test_hostile_content_is_no_error_or_one_of_ours(
    read: Callable[[bytes], Any], content: bytes
) -> None:
    message = ""
    try:
        read(content)
    except TuiForwardError as error:
        message = error.message
    assert len(message) < 1000


@pytest.mark.parametrize("content", CONTENTS.values(), ids=list(CONTENTS))
@pytest.mark.parametrize("read", FILES.values(), ids=list(FILES))
def test_hostile_file_is_no_error_or_one_of_ours(
    read: Callable[[Path], Any], content: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    message = ""
    try:
        read(path)
    except TuiForwardError as error:
        message = error.message
    assert len(message) < 1000
