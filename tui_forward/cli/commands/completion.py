"""`tui-forward completion`: what makes a shell complete the command line."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from tui_forward.cli.exit_codes import ExitCode

_SHELLS = ("bash", "zsh", "fish")
_VARIABLE = "_TUI_FORWARD_COMPLETE"

EPILOG = """\
\b
Put one of these into your shell's start-up file:
  eval "$(tui-forward completion bash)"          ~/.bashrc
  eval "$(tui-forward completion zsh)"           ~/.zshrc
  tui-forward completion fish | source           ~/.config/fish/config.fish
"""


@click.command(epilog=EPILOG, short_help="Print what makes your shell complete commands.")
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> int:
    """Print what makes your shell complete commands.

    Profiles, forwards, contexts, namespaces, targets and ports are completed too.
    """
    kind = get_completion_class(shell)
    assert kind is not None
    root = ctx.find_root().command
    click.echo(kind(root, {}, "tui-forward", _VARIABLE).source())
    return ExitCode.DONE
