from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.packaging.release import (
    PLATFORMS,
    ROOT,
    TEMPLATES,
    ReleaseError,
    check,
    fill,
    main,
    notes,
    render,
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "1.2.3"\n')
    (tmp_path / "CHANGELOG.md").write_text(
        "# Changelog\n\n## Unreleased\n\n## 1.2.3 (2027-01-31)\n\n### Added\n- One.\n\n"
        "## 1.2.2 (2027-01-01)\n\n- Old.\n"
    )
    return tmp_path


def test_tag_version_and_changelog_agree(project: Path) -> None:
    assert check("v1.2.3", project) == "1.2.3"
    assert notes("v1.2.3", project) == "### Added\n- One.\n"


@pytest.mark.parametrize("tag", ["v1.2.4", "1.2.3", "v1.2"])
def test_tag_of_another_version_is_refused(project: Path, tag: str) -> None:
    with pytest.raises(ReleaseError, match=r"pyproject\.toml is 1\.2\.3"):
        check(tag, project)


@pytest.mark.parametrize("text", ["# Changelog\n", "## 1.2.3 (2027-01-31)\n\n## 1.2.2 (x)\n"])
def test_missing_section_of_the_changelog_is_refused(project: Path, text: str) -> None:
    (project / "CHANGELOG.md").write_text(text)
    with pytest.raises(ReleaseError, match="no section"):
        check("v1.2.3", project)


def test_unreleased_version_has_no_release(capsys: pytest.CaptureFixture[str]) -> None:
    """The changelog of this checkout names the version only when it is released."""
    assert main(["check", "v999.0.0"]) == 1
    assert capsys.readouterr().err.startswith("error: the tag is v999.0.0")


def test_files_of_a_release(tmp_path: Path) -> None:
    for platform in PLATFORMS:
        (tmp_path / f"tui-forward-{platform}.pyz").write_bytes(platform.encode())
    written = {path.name for path in render("v1.2.3", tmp_path)}
    assert {"tui-forward.rb", "krew.yaml", "SHA256SUMS"} <= written
    manifest = yaml.safe_load((tmp_path / "krew.yaml").read_text())
    lines = (tmp_path / "SHA256SUMS").read_text().splitlines()
    sums = {name: digest for digest, name in (line.split("  ") for line in lines)}
    assert manifest["spec"]["version"] == "v1.2.3"
    for one in manifest["spec"]["platforms"]:
        assert sums[one["uri"].rpartition("/")[2]] == one["sha256"]
    formula = (tmp_path / "tui-forward.rb").read_text()
    for name, digest in re.findall(r'url "[^"]*/([^"]+)"\n *sha256 "(\w+)"', formula):
        assert sums[name] == digest
    assert formula.count("sha256") == len(PLATFORMS)
    assert set(sums) == {path.name for path in tmp_path.iterdir()} - {"SHA256SUMS"}


def test_missing_platform_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="is missing"):
        render("v1.2.3", tmp_path)


def test_templates_name_known_values_only() -> None:
    names = {
        f"{name}{kind}": "x"
        for name in PLATFORMS.values()
        for kind in ("_SHA256", "_ARCHIVE_SHA256")
    }
    for template in TEMPLATES.glob("*.in"):
        filled = fill(template.read_text(), names | {"VERSION": "1"})
        assert not re.search(r"@[A-Z_]+@", filled)
    with pytest.raises(ReleaseError, match="@OTHER@"):
        fill("@OTHER@", names)


def test_workflow_runs_programs_that_exist() -> None:
    text = (ROOT / ".github/workflows/release.yml").read_text()
    targets = re.findall(r"make (\w+)", text)
    makefile = (ROOT / "Makefile").read_text()
    assert targets
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)
    for module in re.findall(r"-m (tests[\w.]+)", text):
        assert (ROOT / f"{module.replace('.', '/')}.py").exists()
