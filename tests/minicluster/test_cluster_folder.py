"""The folder of a cluster, which holds its keys."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tests.support.other_user import give_away, needs_other_user
from tui_forward.errors import ConfigError
from tui_forward.minicluster.cluster_folder import ClusterFolder


def test_every_created_folder_is_private(tmp_path: Path) -> None:
    folder = ClusterFolder(tmp_path / "a" / "b")
    for path in (tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "b" / "pki"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    folder.remove()


def test_folder_that_others_can_write_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(ConfigError, match="other users can write"):
        ClusterFolder(tmp_path)


@needs_other_user
def test_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    give_away(tmp_path)
    with pytest.raises(ConfigError, match="other users can write"):
        ClusterFolder(tmp_path)
