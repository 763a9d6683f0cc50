"""Options and value types that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from tui_forward.cli import completers

F = TypeVar("F", bound=Callable[..., Any])


class Duration(click.ParamType[float]):
    """Number of seconds, or a number with a unit; by default at most a day."""

    name = "duration"

    def __init__(self, longest_s: float = 24 * 3600.0) -> None:
        self._longest_s = longest_s

    def convert(
        self,
        value: Any,
        param: click.Parameter | None,  # noqa: ARG002 - click's signature
        ctx: click.Context | None,  # noqa: ARG002 - click's signature
    ) -> float:
        """Return seconds; see `parse_duration_s`, whose `UsageError` is not converted."""
        from tui_forward.common.arguments import parse_duration_s

        if isinstance(value, float):
            return value
        return parse_duration_s(str(value), longest_s=self._longest_s)


def kubeconfig_option(command: F) -> F:
    """Add `--kubeconfig`, which also selects the engine: there is one per kubeconfig."""
    return click.option(
        "--kubeconfig",
        metavar="FILE",
        type=click.Path(),
        help="Kubeconfig to use instead of $KUBECONFIG or ~/.kube/config.",
    )(command)


def cluster_options(command: F) -> F:
    """Add `--context`, `--namespace` and `--kubeconfig`, with kubectl's names."""
    for option in (
        kubeconfig_option,
        click.option(
            "-n",
            "--namespace",
            metavar="NAME",
            shell_complete=completers.complete_namespaces,
            help="Namespace; the context's own by default.",
        ),
        click.option(
            "--context",
            metavar="NAME",
            shell_complete=completers.complete_contexts,
            help="Context of the kubeconfig.",
        ),
    ):
        command = option(command)
    return command
