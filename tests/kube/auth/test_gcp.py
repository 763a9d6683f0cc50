from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.kube.kubeconfigs import kubeconfig, text_of, write
from tui_forward.errors import AuthError, ConfigError
from tui_forward.kube import ClusterClient, KubeconfigSource
from tui_forward.kube.auth.credentials import KeptCredentials
from tui_forward.kube.auth.gcp import GcpProvider
from tui_forward.kube.kubeconfig.loader import AuthProviderEntry


def cluster(path: Path, **config: Any) -> ClusterClient:
    user = {"auth-provider": {"name": "gcp", "config": config}}
    return ClusterClient(KubeconfigSource(write(path, kubeconfig("https://x", user=user))))


def script(folder: Path, body: str) -> dict[str, str]:
    path = folder / "gcloud.py"
    path.write_text(body)
    return {"cmd-path": sys.executable, "cmd-args": str(path), "access-token": "old"}


async def test_valid_token_is_used(config_path: Path) -> None:
    found = cluster(config_path, **{"access-token": "t", "expiry": "2999-01-01T00:00:00Z"})
    assert (await found.headers())["Authorization"] == "Bearer t"


@pytest.mark.parametrize(
    ("keys", "output"),
    [
        ({}, '{"credential": {"access_token": "new", "token_expiry": "2999-01-01T00:00:00Z"}}'),
        ({"token-key": "{.a.b}"}, '{"a": {"b": "new"}}'),
        ({}, "new"),
    ],
)
async def test_expired_token_is_replaced_by_the_command(
    config_path: Path, keys: dict[str, str], output: str
) -> None:
    options = script(config_path.parent, f"print({output!r})")
    found = cluster(config_path, expiry="2001-01-01T00:00:00Z", **options, **keys)
    before = text_of(config_path)
    assert (await found.headers())["Authorization"] == "Bearer new"
    assert text_of(config_path) == before


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("import sys; sys.exit('token=hunter2hunter2')", "failed with exit code 1"),
        ("print('{}')", "printed no token"),
        ("print('not a token')", "printed no token"),
    ],
)
async def test_failing_command_is_an_error(config_path: Path, body: str, expected: str) -> None:
    options = script(config_path.parent, body)
    with pytest.raises(AuthError, match=expected) as caught:
        await cluster(config_path, expiry="2001-01-01T00:00:00Z", **options).headers()
    assert "hunter2" not in str(caught.value)
    assert caught.value.hint


async def test_missing_command_has_a_hint(config_path: Path) -> None:
    with pytest.raises(AuthError, match="no cmd-path") as caught:
        await cluster(config_path, expiry="2001-01-01T00:00:00Z").headers()
    assert "gke-gcloud-auth-plugin" in caught.value.hint


@pytest.mark.parametrize("entry", ["", ".", "bin", "../x"])
async def test_command_is_not_found_through_the_current_folder(
    config_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str
) -> None:
    monkeypatch.chdir(prepare_evil(config_path.parent))
    monkeypatch.setenv("PATH", f"{entry}:/nonexistent")
    for program in ("evil", "./evil", "bin/evil"):
        options = {"cmd-path": program, "expiry": "2001-01-01T00:00:00Z"}
        with pytest.raises(AuthError, match="is not installed"):
            await cluster(config_path, **options).headers()


def prepare_evil(folder: Path) -> Path:
    for path in (folder / "work/evil", folder / "work/bin/evil", folder / "x/evil"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\necho token")
        path.chmod(0o755)
    return folder / "work"


async def test_output_of_a_failing_command_is_not_quoted(config_path: Path) -> None:
    body = "import sys; print('s3cr3t-s3cr3t-s3cr3t'); sys.exit('got s3cr3t-s3cr3t-s3cr3t')"
    options = script(config_path.parent, body)
    with pytest.raises(AuthError, match=r"got \[redacted\]"):
        await cluster(config_path, expiry="2001-01-01T00:00:00Z", **options).headers()


async def test_open_quotation_mark_in_arguments_is_an_error(config_path: Path) -> None:
    options = {**script(config_path.parent, ""), "cmd-args": "'a"}
    with pytest.raises(ConfigError, match="not closed"):
        await cluster(config_path, expiry="2001-01-01T00:00:00Z", **options).headers()


def test_token_is_exported_until_it_expires() -> None:
    before = GcpProvider(AuthProviderEntry("gcp", (("access-token", "t"),)), {})
    after = GcpProvider(AuthProviderEntry("gcp"), {})
    assert after.export() is None
    kept = before.export()
    assert kept is not None
    after.adopt(kept)
    assert after.current() == before.current() == kept.credentials()
    after.adopt(KeptCredentials(token="t", expires_at=1.0))
    assert (after.current(), after.export()) == (None, None)
