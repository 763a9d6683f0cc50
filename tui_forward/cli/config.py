"""`tui-forward config`: the settings that count, and where each comes from."""

from __future__ import annotations

import click

from tui_forward import folders
from tui_forward.cli import records
from tui_forward.cli.exits import ExitCode
from tui_forward.cli.output import one_line
from tui_forward.tui.settings import Settings, line_of, load

# Of `tui.themes`, which would load Textual.
_DEFAULT_THEME = "forward-dark"


@click.command(short_help="Show the settings that count, and where each comes from.")
@click.option("--json", "as_json", is_flag=True, help="One object per setting.")
def config(as_json: bool) -> int:
    """Show the settings that count, and where each comes from.

    They are kept in settings.toml; what is wrong with it is told on stderr.
    """
    path = folders.settings()
    settings = load(path)
    text, absent = "", ""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        absent = " (is not there)"
    except OSError:
        pass  # `load` says why
    rows = _rows(settings, text)
    if as_json:
        for name, value, at in rows:
            one = {"setting": name, "value": value, "line": at, "file": str(path) if at else None}
            click.echo(records.json_line(one))
    else:
        click.echo(f"# {path}{absent}")
        for name, value, at in rows:
            where = f"line {at}" if at else "default"
            click.echo(f"{f'{name} = {_quoted(value)}':<40} # {where}")
    for problem in settings.problems:
        click.echo(one_line(str(problem)), err=True)
    return ExitCode.FAILED if settings.problems else ExitCode.DONE


def _rows(settings: Settings, text: str) -> list[tuple[str, str, int | None]]:
    plain = {
        "theme": settings.theme or _DEFAULT_THEME,
        "leave_on": settings.leave_on.value,
        "resume": settings.resume.value,
    }
    found = [(name, value, line_of(text, "", name)) for name, value in plain.items()]
    keys = [
        (f'keys."{binding}"', value, settings.lines.get(binding))
        for binding, value in settings.keys.items()
    ]
    return found + keys


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
