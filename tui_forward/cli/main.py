"""The `tui-forward` command: its sub-commands and how errors are shown.

Importing this module must stay cheap, because help and shell completion import it.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from tui_forward.cli import completers
from tui_forward.cli.access_options import (
    AccessOption,
    access_options,
    first_access_option,
    ignored_option_notes,
    ignored_options,
    normalize_arguments,
    requested_access_options,
)
from tui_forward.cli.exit_codes import ExitCode, exit_code_for
from tui_forward.cli.log_options import log_options
from tui_forward.cli.options import cluster_options
from tui_forward.cli.output import print_error
from tui_forward.cli.standard_streams import OutputClosedError, secure_standard_streams
from tui_forward.common.garbage import collect_garbage_rarely
from tui_forward.errors import TuiForwardError, UsageError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

# Sub-commands in the order of `--help`: the module of each, imported on use, and its help text,
# so that `--help` imports none of them.
COMMANDS = {
    "forward": (
        "tui_forward.cli.commands.forward",
        "Forward local ports to a pod, a service or a workload.",
    ),
    "doctor": (
        "tui_forward.cli.commands.doctor",
        "Test each hop of a port-forward and name what is broken.",
    ),
    "proxy": (
        "tui_forward.cli.commands.proxy",
        "Reach every service of a cluster through one local port.",
    ),
    "up": ("tui_forward.cli.commands.up", "Start a profile's forwards in the background."),
    "down": ("tui_forward.cli.commands.up", "Stop a profile's forwards."),
    "ls": ("tui_forward.cli.commands.status", "List active forwards."),
    "status": ("tui_forward.cli.commands.status", "Show the engine and its forwards."),
    "stop": ("tui_forward.cli.commands.status", "Stop forwards."),
    "run": ("tui_forward.cli.commands.run", "Run a command with a profile's forwards ready."),
    "restart": ("tui_forward.cli.commands.restart", "Restart the engine without closing ports."),
    "profile": (
        "tui_forward.cli.commands.profile",
        "List, show, check, edit, import and export profiles.",
    ),
    "metrics": (
        "tui_forward.cli.commands.metrics",
        "Print metrics in the OpenMetrics format, or serve them.",
    ),
    "mcp": (
        "tui_forward.cli.commands.mcp",
        "Serve tools for agents (Model Context Protocol) on stdin and stdout.",
    ),
    "config": (
        "tui_forward.cli.commands.config",
        "Show effective settings and where they are set.",
    ),
    "completion": ("tui_forward.cli.commands.completion", "Print the shell completion script."),
    "demo": (
        "tui_forward.cli.demo",
        "Try the dashboard on the embedded cluster, or print a report.",
    ),
    "cluster": ("tui_forward.cli.commands.cluster", "Run the embedded cluster by itself."),
}


class LazyGroup(click.Group):
    """Command group that imports a sub-command when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of all commands, in the order of `--help`."""
        return list(COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        cmd_name: str,
    ) -> click.Command | None:
        """Return the command of a name, or None."""
        if cmd_name not in COMMANDS:
            return None
        command = getattr(importlib.import_module(COMMANDS[cmd_name][0]), cmd_name)
        return command if isinstance(command, click.Command) else None

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands, whose modules are not imported, and the options that fit."""
        from click.shell_completion import CompletionItem

        commands = [
            CompletionItem(name, help=text)
            for name, (_, text) in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return commands + click.Command.shell_complete(self, ctx, incomplete)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments; see `normalize_arguments`."""
        return super().parse_args(ctx, normalize_arguments(args, verbosity_word=False))

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        """Write the list of commands for `--help`."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


def _print_version(ctx: click.Context, _param: click.Parameter, enabled: bool) -> None:
    if enabled and not ctx.resilient_parsing:
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
    help="Start this profile's forwards.",
)
@click.option("--restore", is_flag=True, help="Restore the forwards of the last session.")
@access_options
@ignored_options()
@log_options
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
    ctx: click.Context, kubeconfig: str | None, context: str | None, namespace: str | None,
    all_namespaces: bool, restore: bool, profile: str | None,
) -> None:  # fmt: skip
    """Kubernetes port-forwards that stay up.

    Without a command: show the dashboard of the current context, or of where you left it. One key
    starts a forward, and every connection can be watched.
    """
    if ctx.invoked_subcommand is not None:
        options = {"context": context, "namespace": namespace, "kubeconfig": kubeconfig}
        _pass_on(ctx, ctx.invoked_subcommand, {k: v for k, v in options.items() if v is not None})
        return
    from tui_forward.cli.commands.dashboard import dashboard

    if namespace is not None and all_namespaces:
        raise UsageError(
            "--namespace and --all-namespaces cannot be combined", hint="use one of them"
        )
    start_profile = None
    if profile is not None:
        from tui_forward.cli import profile_lookup

        start_profile = profile_lookup.find_trusted_profile(
            profile, yes=False, kubeconfig=kubeconfig
        )
    for note in ignored_option_notes():
        click.echo(f"note: {note}", err=True)
    wants_demo = dashboard(
        kubeconfig,
        context=context,
        options=requested_access_options(),
        namespace="" if all_namespaces else namespace,
        restore=restore,
        profile=start_profile,
    )
    if wants_demo:
        from tui_forward.cli.demo import demo

        demo.main(args=[], standalone_mode=False)


def _pass_on(ctx: click.Context, name: str, options: dict[str, str]) -> None:
    """Pass options before the command on to it, as kubectl does; UsageError if it has none such."""
    command = ctx.command.get_command(ctx, name) if isinstance(ctx.command, LazyGroup) else None
    known = {parameter.name for parameter in command.params} if command is not None else set()
    unknown = [option for option in options if option not in known]
    accepts_access = command is not None and any(
        isinstance(p, AccessOption) for p in command.params
    )
    if not accepts_access and (option := first_access_option(ctx)):
        unknown.append(option)
    unknown += [
        option.replace("_", "-")
        for option in ("all_namespaces", "profile", "restore")
        if ctx.params[option]
    ]
    if unknown and command is not None:
        raise UsageError(
            f"{name} has no option --{unknown[0]}", hint=f"see tui-forward {name} --help"
        )
    ctx.default_map = {name: options}


def _program_name() -> str:
    """Return the words that start the program, as usage lines show them."""
    is_plugin = os.path.basename(sys.argv[0]).startswith("kubectl-")  # noqa: PTH119 - no pathlib
    return "kubectl tui-forward" if is_plugin else "tui-forward"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; errors are printed, not raised."""
    collect_garbage_rarely()
    secure_standard_streams()
    if completers.is_completing():
        importlib.import_module("tui_forward.cli.shell_completion")
    try:
        result: Any = cli.main(
            args=None if arguments is None else list(arguments),
            prog_name=_program_name(),
            complete_var=completers.COMPLETE_VARIABLE,
            standalone_mode=False,
        )
        return result if isinstance(result, int) else ExitCode.DONE
    except OutputClosedError:
        return ExitCode.DONE
    except TuiForwardError as error:
        print_error(error)
        return exit_code_for(error)
    except click.ClickException as error:
        print_error(UsageError(_error_text(error), hint=_help_hint(error)))
        return ExitCode.USAGE
    except click.Abort as error:  # Ctrl-C, or the end of stdin where input is needed
        interrupted = isinstance(error.__cause__, KeyboardInterrupt)
        return ExitCode.DONE if interrupted else ExitCode.FAILED
    except KeyboardInterrupt:
        return ExitCode.DONE
    except Exception as error:  # noqa: BLE001 - users see a traceback only on request
        from tui_forward.common.redaction import redact, redact_lines

        if os.environ.get("TUI_FORWARD_DEBUG"):
            click.echo(redact_lines(traceback.format_exc(), limit=8000), err=True)
            return ExitCode.FAILED
        print_error(
            TuiForwardError(
                f"unexpected {type(error).__name__}: {redact(str(error))}",
                hint="this is a bug; set TUI_FORWARD_DEBUG=1 to see the traceback",
            )
        )
        return ExitCode.FAILED


def _error_text(error: click.ClickException) -> str:
    """Return click's message in the style of this program's errors."""
    message = error.format_message().strip().rstrip(".")
    return message[:1].lower() + message[1:]


def _help_hint(error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context is not None else "tui-forward"
    return f"see {path} --help"
