from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from tui_forward.daemon import engine_process
from tui_forward.daemon.readiness import ReadyNotifier
from tui_forward.settings.parser import Settings, load_settings


def test_settings_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An edit in between would apply to some of them only."""
    read: list[Settings] = []
    given: list[object] = []

    def load(path: Path) -> Settings:
        read.append(load_settings(path))
        return read[-1]

    class Process:
        def __init__(self, _options: object, settings: Settings, *_: object) -> None:
            given.append(settings)

        async def run(self, _notifier: object) -> None:
            pass

    monkeypatch.setattr(engine_process, "load_settings", load)
    monkeypatch.setattr(engine_process, "EngineProcess", Process)
    monkeypatch.setattr("tui_forward.daemon.log.log_to_file", lambda *_, **__: None)
    tmp_path.chmod(0o700)
    options = argparse.Namespace(
        socket=tmp_path / "e.sock", kubeconfig=None, take_over=False, log_level=None, detach=True,
        log=tmp_path / "log",
    )  # fmt: skip
    assert engine_process.run(options, ReadyNotifier(is_detached=True)) == 0
    assert len(read) == 1
    assert given == read
