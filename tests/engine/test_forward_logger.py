from __future__ import annotations

import logging

import pytest

from tui_forward.engine.forward_logger import ForwardLogger


def test_records_carry_forward_and_context(caplog: pytest.LogCaptureFixture) -> None:
    log = ForwardLogger(logging.getLogger("test"), "f1", "kind-dev")
    log.warning("lost %d tunnels", 2)
    (record,) = caplog.records
    assert record.getMessage() == "f1 (kind-dev): lost 2 tunnels"
    assert (record.__dict__["forward"], record.__dict__["context"]) == ("f1", "kind-dev")


def test_missing_forward_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    ForwardLogger(logging.getLogger("test"), "", "kind-dev").warning("up")
    assert caplog.records[0].getMessage() == "(kind-dev): up"
