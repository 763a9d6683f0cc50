"""`tui-forward config`: the settings that count, and where each comes from."""

from __future__ import annotations

import json
from pathlib import Path

import click

from tui_forward.cli import forward_output
from tui_forward.cli.exit_codes import ExitCode
from tui_forward.cli.output import one_line
from tui_forward.common import paths as paths
from tui_forward.common.arguments import format_duration_arg
from tui_forward.settings.parser import Settings, load_settings

Value = str | float | list[str]


@click.command(short_help="Show the settings that count, and where each comes from.")
@click.option("--json", "as_json", is_flag=True, help="One object per setting; times in seconds.")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of the file, for editors.")
def config(as_json: bool, schema: bool) -> int:
    """Show the settings that count, and where each comes from.

    They are kept in settings.toml; what is wrong with it is told on stderr.
    """
    if schema:
        click.echo(schema_path().read_text(encoding="utf-8"), nl=False)
        return ExitCode.DONE
    path = paths.settings_file()
    settings = load_settings(path)
    if not as_json:
        click.echo(f"# {path}{'' if path.exists() else ' (is not there)'}")
    for name, value in _values(settings).items():
        said = name in settings.said
        _tell(name, value, path if said else None, settings.said.get(name), as_json=as_json)
    for binding, keys in settings.keys.items():
        _tell(f'keys."{binding}"', keys, path, settings.lines.get(binding), as_json=as_json)
    for problem in settings.problems:
        click.echo(one_line(str(problem)), err=True)
    return ExitCode.FAILED if settings.problems else ExitCode.DONE


def _values(settings: Settings) -> dict[str, Value]:
    forwards = settings.forwards
    return {
        "theme": settings.theme,
        "leave_on": settings.leave_on.value,
        "resume": settings.resume.value,
        "address": list(forwards.addresses),
        "queue_timeout": forwards.queue_timeout_s,
        "half_close_timeout": forwards.half_close_timeout_s,
        "refresh": settings.refresh_s,
        "notifications": settings.notifications.value,
    }


def _tell(name: str, value: Value, file: Path | None, line: int | None, *, as_json: bool) -> None:
    if as_json:
        one = {
            "setting": name, "value": value, "line": line,
            "file": str(file) if file is not None else None,
        }  # fmt: skip
        click.echo(forward_output.json_line(one))
        return
    where = "default" if file is None else f"line {line}" if line is not None else file.name
    click.echo(f"{f'{name} = {_as_written(name, value)}':<40} # {where}")


def _as_written(name: str, value: Value) -> str:
    """As it could stand in the file: strings and lists are the same in TOML and JSON."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    elif isinstance(value, float):
        return f"{value:g}" if name == "refresh" else f'"{format_duration_arg(value)}"'
    return json.dumps(value, ensure_ascii=False)


def schema_path() -> Path:
    """The published JSON Schema, as it was installed."""
    import tui_forward.settings

    return Path(tui_forward.settings.__file__).with_name("settings.schema.json")
