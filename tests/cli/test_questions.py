from __future__ import annotations

import asyncio
import signal

import click.termui
import pytest

from tui_forward.cli.questions import ask


def test_interrupt_declines_a_question_in_an_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    def wait_for_input(_prompt: str) -> str:
        signal.raise_signal(signal.SIGINT)
        return "y"

    async def question() -> bool:
        handler = signal.getsignal(signal.SIGINT)
        answer = ask("Sure?", default=True)
        assert signal.getsignal(signal.SIGINT) is handler
        await asyncio.sleep(0)  # where a canceled task would end
        return answer

    monkeypatch.setattr(click.termui, "visible_prompt_func", wait_for_input)
    assert asyncio.run(question()) is False
