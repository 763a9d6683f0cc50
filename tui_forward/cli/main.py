"""The `tui-forward` command: its sub-commands, and how every failure is shown.

Importing this module must stay cheap: help and completion are a key press away.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from tui_forward.cli import completers as completers
from tui_forward.cli.exit_codes import ExitCode, exit_code_for
from tui_forward.cli.options import cluster_options
from tui_forward.cli.output import print_error
from tui_forward.errors import TuiForwardError, UsageError

# Sub-commands in the order of usefulness: the module that holds each, imported when it is
# used, and what `--help` says of it, so that help imports none of them.
COMMANDS = {
    "forward": (
        "tui_forward.cli.commands.forward",
        "Forward local ports to a pod, a service or a workload.",
    ),
    "up": (
        "tui_forward.cli.commands.up",
        "Switch a profile's forwards on; they go on without a terminal.",
    ),
    "down": ("tui_forward.cli.commands.up", "Switch a profile's forwards off."),
    "ls": ("tui_forward.cli.commands.status", "List the forwards that are on."),
    "status": ("tui_forward.cli.commands.status", "Show the engine and its forwards."),
    "stop": ("tui_forward.cli.commands.status", "Switch forwards off."),
    "run": (
        "tui_forward.cli.commands.run",
        "Run a command with a profile's forwards up and ready.",
    ),
    "restart": ("tui_forward.cli.commands.restart", "Begin the engine anew, with all that is on."),
    "profile": (
        "tui_forward.cli.commands.profile",
        "List, show, check, edit, import and export profiles.",
    ),
    "metrics": (
        "tui_forward.cli.commands.metrics",
        "Print metrics in the OpenMetrics format, or serve them.",
    ),
    "config": (
        "tui_forward.cli.commands.config",
        "Show the settings that count, and where each comes from.",
    ),
    "completion": (
        "tui_forward.cli.commands.completion",
        "Print what makes your shell complete commands.",
    ),
    "demo": (
        "tui_forward.cli.demo",
        "Try it all on the embedded cluster: dashboard, or a report.",
    ),
    "cluster": (
        "tui_forward.cli.commands.cluster",
        "Run the embedded cluster by itself.",
    ),
}


class LazyGroup(click.Group):
    """Imports a sub-command when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """All of them, in the order of usefulness."""
        return list(COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        cmd_name: str,
    ) -> click.Command | None:
        """The command, or None."""
        if cmd_name not in COMMANDS:
            return None
        command = getattr(importlib.import_module(COMMANDS[cmd_name][0]), cmd_name)
        return command if isinstance(command, click.Command) else None

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        """The list in `--help`."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


def _print_version(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"tui-forward {version('tui-forward')}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    subcommand_metavar="[COMMAND]",
)
@cluster_options
@click.option("-A", "--all-namespaces", is_flag=True, help="Show all namespaces.")
@click.option(
    "--profile",
    metavar="PROFILE",
    shell_complete=completers.complete_profiles,
    help="Switch this profile's forwards on.",
)
@click.option("--resume", is_flag=True, help="Bring back what was on before a crash or reboot.")
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Show the version and exit.",
)
@click.pass_context
def cli(
    ctx: click.Context,
    kubeconfig: str | None,
    context: str | None,
    namespace: str | None,
    all_namespaces: bool,
    resume: bool,
    profile: str | None,
) -> None:
    """Kubernetes port-forwards that stay up.

    Without a command: a dashboard of the current context, or where you left it, where one key
    switches a forward on and every connection can be watched.
    """
    if ctx.invoked_subcommand is not None:
        given = {"context": context, "namespace": namespace, "kubeconfig": kubeconfig}
        _pass_on(ctx, ctx.invoked_subcommand, {k: v for k, v in given.items() if v is not None})
        return
    from tui_forward.cli.commands.dashboard import dashboard

    if namespace is not None and all_namespaces:
        raise UsageError("--namespace and --all-namespaces exclude each other", hint="use one")
    shown = "" if all_namespaces else namespace
    wanted = None
    if profile is not None:
        from tui_forward.cli import profile_lookup as profile_lookup

        wanted = profile_lookup.find_trusted_profile(profile, yes=False)
    dashboard(kubeconfig, context=context, namespace=shown, resume=resume, profile=wanted)


def _pass_on(ctx: click.Context, name: str, given: dict[str, str]) -> None:
    """Let options stand before the command, where kubectl takes them too.

    Raises:
        UsageError: The command has no such option.
    """
    command = ctx.command.get_command(ctx, name) if isinstance(ctx.command, LazyGroup) else None
    known = {parameter.name for parameter in command.params} if command is not None else set()
    unknown = [option for option in given if option not in known]
    unknown += [
        name.replace("_", "-")
        for name in ("all_namespaces", "profile", "resume")
        if ctx.params[name]
    ]
    if unknown and command is not None:
        raise UsageError(
            f"{name} has no option --{unknown[0]}", hint=f"see tui-forward {name} --help"
        )
    ctx.default_map = {name: given}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; whatever fails is said in one sentence.

    Args:
        arguments: Without the program's name; `sys.argv` when None.
    """
    try:
        result: Any = cli.main(
            args=None if arguments is None else list(arguments),
            prog_name="tui-forward",
            standalone_mode=False,
        )
        return result if isinstance(result, int) else ExitCode.DONE
    except TuiForwardError as error:
        print_error(error)
        return exit_code_for(error)
    except click.ClickException as error:
        print_error(UsageError(_sentence(error), hint=_help_of(error)))
        return ExitCode.USAGE
    except (click.Abort, KeyboardInterrupt):
        return ExitCode.DONE
    except BrokenPipeError:
        _forget_stdout()
        return ExitCode.DONE
    except Exception as error:  # the last line of defence: a person sees no traceback
        if os.environ.get("TUI_FORWARD_DEBUG"):
            raise
        print_error(
            TuiForwardError(
                f"unexpected {type(error).__name__}: {error}",
                hint="this is a bug; TUI_FORWARD_DEBUG=1 shows where it happened",
            )
        )
        return ExitCode.FAILED


def _sentence(error: click.ClickException) -> str:
    """What click says, in the style of our own."""
    message = error.format_message().strip().rstrip(".")
    return message[:1].lower() + message[1:]


def _help_of(error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context is not None else "tui-forward"
    return f"see {path} --help"


def _forget_stdout() -> None:
    """Keep the interpreter from complaining at exit about a pipe that nobody reads."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
