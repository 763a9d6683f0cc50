"""`tui-forward completion`: shell completion of the command line."""

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


@click.command(epilog=EPILOG, short_help="Print the shell completion script.")
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> int:
    """Print the shell completion script.

    It also completes profiles, forwards, contexts, namespaces, targets and ports.
    """
    completion_class = get_completion_class(shell)
    assert completion_class is not None
    root = ctx.find_root().command
    click.echo(completion_class(root, {}, "tui-forward", _VARIABLE).source())
    return ExitCode.DONE
