"""Edits of an active profile."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.e2e.processes import PROGRAM, wait_until
from tests.e2e.terminal import NEEDS_TMUX, Terminal, environment
from tests.e2e.test_profiles import SHOP, Shell, shell

__all__ = ["shell"]

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(autouse=True)
def commands_as_processes(shell: Shell) -> None:
    shell.in_process = False


def test_edit_changes_only_affected_forwards(shell: Shell) -> None:
    file = shell.profiles / "shop.yaml"
    shell("up", "shop")
    before = shell.listed()
    file.write_text(
        SHOP + "  more: {target: pod/echo, namespace: default, port: echo, local: any}\n"
    )
    wait_until(lambda: "more" in shell.listed(), "the new forward")
    file.write_text(SHOP.replace("port: echo, local: any}", "port: 7, local: any}"))
    wait_until(
        lambda: (
            shell.listed().get("db", {}).get("target") == "shop/svc/echo:7"
            and "more" not in shell.listed()
        ),
        "the edit",
    )
    after = shell.listed()
    assert after["web"]["forward"] == before["web"]["forward"]
    status = shell("status").stdout
    assert "+ more default/pod/echo:echo" in status
    assert "~ db shop/svc/echo:echo → shop/svc/echo:7, - more default/pod/echo:echo" in status
    # An invalid edit changes nothing and is reported with its position.
    file.write_text(SHOP.replace("needs: db", "nedes: db"))
    wait_until(lambda: "shop.yaml:4:42: unknown key `nedes`" in shell("status").stdout, "the fault")
    assert shell.listed().keys() == {"web", "db"}
    # Truncated file, missing file, link: the forwards stay.
    file.write_text(SHOP[: len(SHOP) // 2])
    wait_until(
        lambda: shell("status").stdout.count("its forwards are unchanged") == 2, "the half file"
    )
    file.unlink()
    wait_until(lambda: "no such file" in shell("status").stdout, "the missing file")
    other = shell.profiles / "elsewhere"  # a link out of this folder needs consent
    other.write_text(SHOP.replace("local: any}", "local: any, label: linked}"))
    file.symlink_to(other)
    wait_until(lambda: "label none → linked" in shell("status").stdout, "the link")
    assert shell.listed().keys() == {"web", "db"}
    # A forward that was stopped by hand stays stopped.
    shell("stop", "web")
    other.write_text(SHOP.replace("local: any}", "local: any, label: again}"))
    wait_until(lambda: "label linked → again" in shell("status").stdout, "the next edit")
    assert shell.listed().keys() == {"db"}
    shell("down", "shop")


def test_edit_without_an_engine_is_applied_by_the_next_engine(shell: Shell) -> None:
    file = shell.profiles / "shop.yaml"
    shell("up", "shop")
    shell("stop", "web")
    ports = shell.ports()
    file.write_text(SHOP + "  old: {target: svc/echo, port: echo, local: any}\n")
    wait_until(lambda: shell.listed().keys() == {"db", "old"}, "the edit")
    for process in shell.engines():  # the watchdog first: it restarts the engine
        process.kill()
        process.wait(60)
    file.write_text(SHOP + "  new: {target: pod/echo, namespace: default, port: echo}\n")
    wait_until(lambda: shell.listed().keys() == {"db", "new"}, "the edit")
    wait_until(lambda: all(one["listening"] for one in shell.listed().values()), "the local ports")
    assert shell.ports()["db"] == ports["db"]
    assert "+ new default/pod/echo:echo, - old shop/svc/echo:echo" in shell("status").stdout
    shell("down", "shop")


def test_edit_of_an_untrusted_profile_waits_for_consent(shell: Shell) -> None:
    (shell.folder / ".git").mkdir()
    team = shell.folder / ".tui-forward.yaml"
    team.write_text(SHOP)
    shell("up", "work", "--yes")
    team.write_text(SHOP.replace("local: any}", "local: any, address: 0.0.0.0}"))
    wait_until(lambda: "has changed; review and trust it" in shell("status").stdout, "the question")
    assert all("0.0.0.0" not in str(one["listening"]) for one in shell.listed().values())
    shell("down", "work")


@NEEDS_TMUX
def test_dashboard_reports_an_edit(
    shell: Shell, own_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with Terminal(tmp_path_factory.mktemp("t"), 120, 36) as terminal:
        terminal.start(
            *PROGRAM, "-n", "shop", "--profile", "shop",
            **environment(own_home, KUBECONFIG=os.environ["KUBECONFIG"]),
        )  # fmt: skip
        terminal.wait_for_text("2 forwards", "ready")
        (shell.profiles / "shop.yaml").write_text(SHOP.replace("local: any}", "local: any, x: 1}"))
        terminal.wait_for_text("Profile shop", "shop.yaml:4:", "unchanged")
        terminal.press("q")
        terminal.wait_for_text("Keep 2 forwards running?", "enter Keep running")
        terminal.press("Enter")
        terminal.wait_for_text("2 forwards keep running", "ended with 0")
    assert len(shell.listed()) == 2
    shell("down", "shop")
