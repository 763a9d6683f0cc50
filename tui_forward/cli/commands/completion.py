"""`tui-forward completion`: shell completion of the command line."""

from __future__ import annotations

import click

from tui_forward.cli.completers import COMPLETE_VARIABLE
from tui_forward.cli.exit_codes import ExitCode
from tui_forward.cli.shell_completion import (
    SafeBashComplete,
    SafeFishComplete,
    SafeZshComplete,
)

_CLASSES = {one.name: one for one in (SafeBashComplete, SafeZshComplete, SafeFishComplete)}

EPILOG = """\
\b
Put one of these into your shell's start-up file:
  eval "$(tui-forward completion bash)"          ~/.bashrc
  eval "$(tui-forward completion zsh)"           ~/.zshrc
  tui-forward completion fish | source           ~/.config/fish/config.fish
"""


@click.command(epilog=EPILOG, short_help="Print the shell completion script.")
@click.argument("shell", type=click.Choice(list(_CLASSES)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> int:
    """Print the shell completion script.

    It also completes profiles, forwards, contexts, namespaces, targets and ports.
    """
    root = ctx.find_root().command
    click.echo(_CLASSES[shell](root, {}, "tui-forward", COMPLETE_VARIABLE).source())
    return ExitCode.DONE
