"""`tui-forward config`: effective settings and where they are set."""

from __future__ import annotations

import json
from pathlib import Path

import click

from tui_forward.cli import forward_output
from tui_forward.cli.exit_codes import ExitCode
from tui_forward.common import paths
from tui_forward.common.arguments import format_duration_arg, format_size_arg
from tui_forward.common.bounded_file import may_exist
from tui_forward.common.printable import escape_json, escape_unprintable, one_line
from tui_forward.settings.parser import Settings, load_settings

Value = str | bool | float | list[str]


@click.command(short_help="Show effective settings and where they are set.")
@click.option("--json", "as_json", is_flag=True, help="One object per setting; times in seconds.")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of the file, for editors.")
@click.option("--purge", is_flag=True, help="Remove all files of the program, after a question.")
@click.option("-y", "--yes", is_flag=True, help="With --purge: do not ask.")
def config(as_json: bool, schema: bool, purge: bool, yes: bool) -> int:
    """Show effective settings and where they are set.

    Settings are read from settings.toml; its problems are listed on stderr.
    """
    if purge:
        from tui_forward.cli.purge import purge as remove_files

        return remove_files(yes=yes)
    if schema:
        click.echo(schema_path().read_text(encoding="utf-8"), nl=False)
        return ExitCode.DONE
    path = paths.settings_file()
    settings = load_settings(path)
    if not as_json:
        click.echo(
            f"# {escape_unprintable(str(path))}{'' if may_exist(path) else ' (does not exist)'}"
        )
    for name, value in _values(settings).items():
        file = path if name in settings.setting_lines else None
        _print(name, value, file, settings.setting_lines.get(name), as_json=as_json)
    for binding, keys in settings.keys.items():
        _print(f'keys."{binding}"', keys, path, settings.key_lines.get(binding), as_json=as_json)
    for problem in settings.problems:
        click.echo(one_line(str(problem)), err=True)
    return ExitCode.FAILED if settings.problems else ExitCode.DONE


def _values(settings: Settings) -> dict[str, Value]:
    forwards = settings.forwards
    return {
        "theme": settings.theme,
        "symbols": settings.symbols.value,
        "keep_running": settings.keep_running.value,
        "restore": settings.restore.value,
        "address": list(forwards.addresses),
        "queue_timeout": forwards.queue_timeout_s,
        "half_close_timeout": forwards.half_close_timeout_s,
        "refresh": settings.refresh_s,
        "notifications": settings.notifications.value,
        "log_level": settings.log_level.value,
        "disk_buffer": format_size_arg(settings.disk_buffer),
        "login_command": settings.login_command,
        "protected_contexts": list(settings.protected_contexts),
        "proxy_domain": settings.proxy_domain,
        "proxy_strip_suffix": settings.proxy_strip_suffix,
        "proxy_idle_timeout": settings.proxy_idle_timeout_s,
    }


def _print(name: str, value: Value, file: Path | None, line: int | None, *, as_json: bool) -> None:
    if as_json:
        record = {
            "setting": name, "value": value, "line": line,
            "file": str(file) if file is not None else None,
        }  # fmt: skip
        click.echo(forward_output.json_line(record))
        return
    origin = "default" if file is None else f"line {line}" if line is not None else file.name
    click.echo(f"{f'{name} = {_to_toml(name, value)}':<40} # {origin}")


def _to_toml(name: str, value: Value) -> str:
    """Return a value in TOML; strings and lists are the same in TOML and JSON."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    elif isinstance(value, float):
        return f"{value:g}" if name == "refresh" else f'"{format_duration_arg(value)}"'
    return escape_json(json.dumps(value, ensure_ascii=False).encode()).decode()


def schema_path() -> Path:
    """Return the installed JSON Schema of the settings file."""
    import tui_forward.settings

    return Path(tui_forward.settings.__file__).with_name("settings.schema.json")
