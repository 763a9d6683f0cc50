from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.other_user import give_away, needs_other_user
from tui_forward.errors import ConfigError, UsageError
from tui_forward.profiles.parser import MAX_FILE_BYTES, ProfileError
from tui_forward.profiles.store import ProfileFile, ProfileStore
from tui_forward.profiles.trust import TrustStore

GOOD = "forwards: {web: {target: svc/web, port: 80}}\n"


@pytest.fixture
def store(tmp_path: Path) -> ProfileStore:
    tree = tmp_path / "tree"
    (tree / "deep" / "er").mkdir(parents=True)
    return ProfileStore(tmp_path / "profiles", tree / "deep" / "er")


def put(store: ProfileStore, name: str, text: str = GOOD) -> Path:
    store.folder.mkdir(exist_ok=True)
    path = store.folder / name
    path.write_text(text)
    return path


def team(store: ProfileStore, text: str = GOOD) -> Path:
    assert store.working is not None
    root = store.working.parent.parent
    (root / ".git").mkdir()
    path = root / ".tui-forward.yaml"
    path.write_text(text)
    return path


def test_own_profiles_by_name_then_the_working_trees(store: ProfileStore) -> None:
    assert store.files() == []
    for name in ("web.yaml", "api.yml", ".hidden.yaml", "notes.txt"):
        put(store, name)
    assert [file.path.name for file in store.files()] == ["api.yml", "web.yaml"]
    path = team(store)
    assert store.files()[-1] == ProfileFile(path, team=True)


def test_only_the_root_of_a_working_tree_counts(store: ProfileStore) -> None:
    assert store.working is not None
    (store.working / ".tui-forward.yaml").write_text(GOOD)
    assert store.team_file() is None
    (store.working / ".git").write_text("gitdir: elsewhere")  # as in a worktree
    assert store.team_file() is not None


def test_unreadable_folder_has_no_working_tree(
    store: ProfileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Not by taking the permission away: root has it nevertheless.
    def refuse(_path: Path) -> bool:
        raise PermissionError

    monkeypatch.setattr(Path, "exists", refuse)
    assert store.team_file() is None


def test_find_by_file_name_path_and_profile_name(store: ProfileStore) -> None:
    plain, named = put(store, "web.yaml"), put(store, "x.yaml", f"name: shop\n{GOOD}")
    tree = team(store)
    assert store.find("web").path == plain
    assert store.find("shop").path == named
    assert store.find("x").path == named
    assert store.find(str(plain)) == ProfileFile(plain)
    assert store.find("tree") == store.find("team") == ProfileFile(tree, team=True)
    assert store.find("../../.tui-forward.yaml") == ProfileFile(tree, team=True)
    with pytest.raises(UsageError, match='no profile "db"') as raised:
        store.find("db")
    assert raised.value.hint == "available: shop, tree, web"
    put(store, "other.yaml", f"name: shop\n{GOOD}")
    with pytest.raises(UsageError, match='two profiles have the name "shop"'):
        store.find("shop")


def test_file_found_by_path_is_untrusted(store: ProfileStore, tmp_path: Path) -> None:
    (tmp_path / "loot.yaml").write_text(GOOD)
    assert store.find(str(tmp_path / "loot.yaml")).team


def test_invalid_profile_is_found(store: ProfileStore) -> None:
    put(store, "bad.yaml", "forwards: 5")
    with pytest.raises(ProfileError, match=r"bad.yaml:1:11: "):
        store.find("bad").read()


def test_unreadable_file_is_reported(store: ProfileStore, tmp_path: Path) -> None:
    def problem(path: Path) -> str:
        with pytest.raises(ProfileError) as raised:
            ProfileFile(path).read()
        return str(raised.value).removeprefix(f"{path}:")

    assert problem(tmp_path / "none") == "1:1: no such file"
    assert problem(tmp_path) == "1:1: this is not a regular file"
    os.mkfifo(tmp_path / "pipe")
    assert problem(tmp_path / "pipe") == "1:1: this is not a regular file"
    (tmp_path / "large").write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    assert problem(tmp_path / "large") == "1:1: the file is too large"
    (tmp_path / "latin").write_bytes(b"a: 1\nname: caf\xe9\n")
    assert problem(tmp_path / "latin") == "2:10: this is not UTF-8"
    (tmp_path / "bom.yaml").write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert ProfileFile(tmp_path / "bom.yaml").read().forwards
    store.folder.write_text("no folder")
    with pytest.raises(ConfigError, match="cannot read"):
        store.files()


def test_only_valid_profiles_are_written_atomically(store: ProfileStore) -> None:
    path = store.path_for("web")
    store.write(path, GOOD)
    assert path.read_text() == GOOD
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ProfileError):
        store.write(path, "forwards: 5")
    assert path.read_text() == GOOD
    assert [one.name for one in path.parent.iterdir()] == ["web.yaml"]
    link = store.folder / "link.yaml"
    link.symlink_to(path)
    store.write(link, f"# again\n{GOOD}")
    assert link.is_symlink()
    assert path.read_text().startswith("# again")


def test_changed_profile_is_untrusted(tmp_path: Path) -> None:
    file = tmp_path / "tree" / ".tui-forward.yaml"
    trust = TrustStore(tmp_path / "state" / "trusted.json")
    assert not trust.is_trusted(file, GOOD)
    trust.trust(file, GOOD)
    assert trust.is_trusted(file, GOOD)
    assert not trust.is_trusted(file, f"{GOOD}# a word more")
    assert not trust.is_trusted(tmp_path / "another", GOOD)
    (tmp_path / "state" / "trusted.json").write_text('{"version": 1, "profiles": 7}')
    assert not trust.is_trusted(file, GOOD), "an unreadable store trusts nothing"
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot write"):
        TrustStore(tmp_path / "file" / "x").trust(file, GOOD)


# Files that others may have written -----------------------------------------------------------


def foreign(store: ProfileStore) -> str:
    (file,) = store.files()
    return file.content().foreign


def test_own_file_is_not_foreign(store: ProfileStore) -> None:
    put(store, "a.yaml")
    assert foreign(store) == ""


def test_working_tree_is_foreign(store: ProfileStore) -> None:
    team(store)
    assert "outside your profile folder" in foreign(store)


@pytest.mark.parametrize("relative", [True, False])
def test_link_into_a_repository_is_foreign(store: ProfileStore, relative: bool) -> None:
    store.folder.mkdir()
    target = team(store)
    (store.folder / "a.yaml").symlink_to(
        Path("..") / target.relative_to(store.folder.parent) if relative else target
    )
    assert foreign_of(store, "a.yaml") == "it is a link to a file outside your profile folder"


def foreign_of(store: ProfileStore, name: str) -> str:
    return ProfileFile(store.folder / name).content().foreign


def test_chain_of_links_is_foreign(store: ProfileStore) -> None:
    store.folder.mkdir()
    (store.folder / "b").symlink_to(team(store))
    (store.folder / "a.yaml").symlink_to(store.folder / "b")
    assert "outside" in foreign_of(store, "a.yaml")


def test_link_inside_the_folder_is_not_foreign(store: ProfileStore) -> None:
    put(store, "a.yaml")
    (store.folder / "b.yaml").symlink_to("a.yaml")
    assert foreign_of(store, "b.yaml") == ""


def test_folder_that_is_a_link_into_a_repository_is_foreign(store: ProfileStore) -> None:
    root = team(store).parent
    (root / "profiles").mkdir()
    (root / "profiles" / "a.yaml").write_text(GOOD)
    store.folder.symlink_to(root / "profiles")
    assert "link into a working tree" in foreign_of(store, "a.yaml")


def test_home_in_a_working_tree_of_its_own_is_not_foreign(
    store: ProfileStore, own_home: Path
) -> None:
    (own_home / ".git").mkdir()
    real = own_home / "dotfiles"
    real.mkdir()
    (real / "a.yaml").write_text(GOOD)
    store.folder.symlink_to(real)
    assert foreign_of(store, "a.yaml") == ""


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666, 0o664])
def test_file_that_others_can_write_is_foreign(store: ProfileStore, mode: int) -> None:
    put(store, "a.yaml").chmod(mode)
    assert foreign(store) == "other users can write it"


@needs_other_user
def test_file_of_another_user_is_foreign(store: ProfileStore) -> None:
    give_away(put(store, "a.yaml"))
    assert foreign(store) == "it belongs to another user"


@needs_other_user
def test_trust_that_another_user_wrote_counts_nothing(tmp_path: Path) -> None:
    path, file = tmp_path / "trusted.json", tmp_path / "a.yaml"
    TrustStore(path).trust(file, GOOD)
    assert TrustStore(path).is_trusted(file, GOOD)
    path.chmod(0o666)
    assert not TrustStore(path).is_trusted(file, GOOD)
    path.chmod(0o600)
    give_away(path)
    assert not TrustStore(path).is_trusted(file, GOOD)


def test_current_folder_is_missing(tmp_path: Path) -> None:
    store = ProfileStore(tmp_path / "profiles", None)
    put(store, "web.yaml")
    assert [file.path.name for file in store.files()] == ["web.yaml"]
    assert store.find(str(store.folder / "web.yaml")).read().name == "web"
    with pytest.raises(UsageError, match="no such file"):
        store.find(str(tmp_path / "none.yaml"))
