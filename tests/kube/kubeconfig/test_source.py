from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from tests.kube.kubeconfigs import kubeconfig, write
from tui_forward.errors import ConfigError
from tui_forward.kube.kubeconfig import source as source_module
from tui_forward.kube.kubeconfig.source import KubeconfigSource, has_changed


def test_changed_file_is_read_again(config_path: Path) -> None:
    write(config_path, kubeconfig("https://one"))
    source = KubeconfigSource(config_path)
    first = source.kubeconfig()
    assert source.kubeconfig() is first
    write(config_path, kubeconfig("https://number-two"))
    assert source.kubeconfig().resolve().cluster.server == "https://number-two"


def test_incomplete_file_keeps_the_previous_content(
    config_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(config_path, kubeconfig("https://one"))
    source = KubeconfigSource(config_path)
    source.kubeconfig()
    config_path.write_text('{"clusters": [')
    assert source.kubeconfig().resolve().cluster.server == "https://one"
    monkeypatch.setattr(source_module, "_RELOAD_GRACE_S", 0.0)
    with pytest.raises(ConfigError, match="not valid YAML"):
        source.kubeconfig()
    write(config_path, kubeconfig("https://three"))
    assert source.kubeconfig().resolve().cluster.server == "https://three"


async def test_waiting_ends_when_the_kubeconfig_is_replaced(config_path: Path) -> None:
    write(config_path, kubeconfig("https://one"))
    source = KubeconfigSource(config_path)
    source.kubeconfig()
    before = source.revision()
    waiting = asyncio.create_task(source.changed(before))
    await asyncio.sleep(0)
    fresh = config_path.with_name("fresh")
    write(fresh, kubeconfig("https://two"))
    os.replace(fresh, config_path)  # noqa: PTH105
    async with asyncio.timeout(60):
        assert await waiting != before


async def test_change_before_the_wait_counts(config_path: Path) -> None:
    write(config_path, kubeconfig("https://one"))
    source = KubeconfigSource(config_path)
    before = source.revision()
    write(config_path, kubeconfig("https://another"))
    async with asyncio.timeout(60):
        await source.changed(before)


def test_newly_named_file_is_not_a_change(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("one")
    path = write(tmp_path / "config", kubeconfig("https://x", user={"tokenFile": "token"}))
    source = KubeconfigSource(path)
    unread = source.revision()
    source.kubeconfig()
    read = source.revision()
    assert read != unread
    assert not has_changed(unread, read)
    token.write_text("number two")
    assert has_changed(read, source.revision())
    token.unlink()
    assert has_changed(read, source.revision())
    path.unlink()
    assert has_changed(unread, source.revision())


async def test_waiting_ends_when_a_token_file_changes(tmp_path: Path) -> None:
    token = tmp_path / "tokens" / "token"
    token.parent.mkdir()
    token.write_text("one")
    path = write(tmp_path / "config", kubeconfig("https://x", user={"tokenFile": "tokens/token"}))
    source = KubeconfigSource(path)
    source.kubeconfig()
    waiters = [asyncio.create_task(source.changed()) for _ in range(3)]
    await asyncio.sleep(0)
    token.write_text("number two")
    async with asyncio.timeout(60):
        await asyncio.gather(*waiters)


async def test_wait_covers_files_in_missing_folders(tmp_path: Path) -> None:
    path = tmp_path / "later" / "config"
    source = KubeconfigSource(environ={"KUBECONFIG": str(path)})
    waiting = asyncio.create_task(source.changed())
    await asyncio.sleep(0)
    path.parent.mkdir()
    write(path, kubeconfig("https://x"))
    async with asyncio.timeout(60):
        await waiting


async def test_wait_can_be_canceled(config_path: Path) -> None:
    write(config_path, kubeconfig("https://x"))
    source = KubeconfigSource(config_path)
    waiting = asyncio.create_task(source.changed())
    await asyncio.sleep(0.05)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
