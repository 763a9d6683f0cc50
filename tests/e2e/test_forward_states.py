"""All states of a forward in a dashboard."""

from __future__ import annotations

import asyncio
import os
import re
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.processes import PROGRAM, wait_until
from tests.e2e.terminal import NEEDS_TMUX, Terminal, environment
from tests.support.cluster_process import running_cluster
from tests.support.forward_states import STEPS, StateScenario, Step
from tui_forward.daemon import connect
from tui_forward.model import ForwardState
from tui_forward.tui.viewmodel.forward_rows import target_cell
from tui_forward.tui.viewmodel.rows import STATE_MARKS

pytestmark = NEEDS_TMUX


@pytest.mark.timeout(180)
def test_dashboard_shows_every_state(
    tmp_path_factory: pytest.TempPathFactory, own_home: Path
) -> None:
    assert {step.state for step in STEPS} == set(ForwardState)
    with (
        running_cluster() as cluster,
        Terminal(tmp_path_factory.mktemp("t"), 160, 40) as terminal,
        asyncio.Runner() as runner,
    ):
        env = environment(own_home, KUBECONFIG=str(cluster.kubeconfig))
        terminal.start(*PROGRAM, "-n", "shop", **env)
        terminal.wait_for_text("[workloads]", "deploy/echo", "No active forwards")
        session = runner.run(connect(environ={**os.environ, **env}))
        scenario = StateScenario(session, cluster.control, "minicluster")

        def forwards() -> dict[str, str]:
            """Return the rows of the forwards by target."""
            screen = terminal.screen()
            pane = screen[screen.index("─ forwards") :]
            rows = re.findall(r"^ (\S) +(\w+) +(\S+/\S+) (.*)$", pane, re.MULTILINE)
            return {target: f"{mark} {word} {rest}" for mark, word, target, rest in rows}

        async def status() -> tuple[str, ForwardState, str]:
            snapshot = await session.snapshot()
            forward = next(one for one in snapshot.forwards if one.id == scenario.forward_id)
            return target_cell(forward).text, forward.state, forward.reason

        async def perform(step: Step) -> None:
            await step.perform(scenario)

        def shown(step: Step) -> bool:
            target, state, reason = runner.run(status())
            row = forwards().get(target, "")
            return state is step.state and step.because in reason and row.startswith(step.mark)

        try:
            for step in STEPS:
                runner.run(perform(step))
                try:
                    wait_until(partial(shown, step), step.mark)
                except AssertionError:
                    raise AssertionError(
                        f"{step} did not appear; {runner.run(status())} on\n{terminal.screen()}"
                    ) from None
                # The row shows no other state.
                target, _, _ = runner.run(status())
                marks = [f"{mark} {state.value}" for state, (mark, _) in STATE_MARKS.items()]
                assert sum(mark in forwards()[target] for mark in marks) == (step.mark in marks)
            runner.run(scenario.stop())
            terminal.wait_until_gone("no deployment")
        finally:
            runner.run(session.close())
