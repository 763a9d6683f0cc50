"""`tui-forward profile`: look at profiles, check and change them."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TextIO

import click
import msgspec

from tui_forward.cli import completers as completers
from tui_forward.cli import forward_output as forward_output
from tui_forward.cli import profile_lookup
from tui_forward.cli.exit_codes import ExitCode
from tui_forward.cli.output import one_line, style, use_color
from tui_forward.common.formatting import pluralize
from tui_forward.errors import TuiForwardError, UsageError
from tui_forward.profiles.exporters import format_env, format_kubectl_commands, format_shell_script
from tui_forward.profiles.importers import MAX_FILE_BYTES, import_forwards
from tui_forward.profiles.parser import ProfileError, ProfileProblem, parse_profile
from tui_forward.profiles.profile import Profile
from tui_forward.profiles.serializer import serialize_profile
from tui_forward.profiles.store import ProfileFile

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")
_NEW = """\
# yaml-language-server: $schema={schema}
version: 1
# context: my-cluster          # default: the current one
# namespace: default           # default: the context's own

forwards:
  # One name for each forward; its address is NAME_HOST, NAME_PORT and NAME_URL for `run`.
  # db:
  #   target: sts/db             # or svc/…, deploy/…, pod/…; or selector: app=db
  #   port: 5432                 # number or name
  #   local: 15432               # default: the same, or the next free one
"""


@click.group(short_help="List, show, check, edit, import and export profiles.")
def profile() -> None:
    """Profiles: forwards that belong together.

    They are YAML files in your configuration folder, or .tui-forward.yaml in the root of a
    working tree.
    """


@profile.command("list")
@click.option("--json", "as_json", is_flag=True, help="One object per line.")
def list_(as_json: bool) -> int:
    """List all profiles: your own, and the working tree's."""
    files = profile_lookup.store().files()
    if not files and not as_json:
        folder = profile_lookup.store().folder
        click.echo(
            f"no profiles yet; `tui-forward profile edit NAME` makes one in {folder}", err=True
        )
    for file in files:
        try:
            found: Profile | None = file.read()
            trouble = ""
        except ProfileError as error:
            found, trouble = None, str(error)
        name = found.name if found is not None else file.path.stem
        if as_json:
            one = {
                "profile": name, "file": str(file.path), "team": file.team,
                "description": found.description if found is not None else "",
                "forwards": len(found.forwards) if found is not None else None, "error": trouble,
            }  # fmt: skip
            click.echo(forward_output.json_line(one))
        elif found is not None:
            what = pluralize(len(found.forwards), "forward")
            whose = "  (of this working tree)" if file.team else ""
            about = f"  {one_line(found.description)}" if found.description else ""
            click.echo(f"{name:<20} {what:<12}{about}{whose}")
        else:
            click.echo(
                f"{name:<20} {style('wrong', '1;31', color=use_color(sys.stdout))}       "
                f" {one_line(trouble)}"
            )
    return ExitCode.DONE


@profile.command()
@click.argument("name", metavar="PROFILE", shell_complete=completers.complete_profiles)
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def show(name: str, as_json: bool) -> int:
    """Show what a profile would switch on."""
    found = profile_lookup.store().find(name).read()
    if as_json:
        click.echo(msgspec.json.encode(found, enc_hook=str))
        return ExitCode.DONE
    click.echo(f"{found.name}: {found.file}")
    if found.description:
        click.echo(one_line(found.description))
    for line in profile_lookup.describe_forwards(found):
        click.echo(f"  {one_line(line)}")
    return ExitCode.DONE


@profile.command()
@click.argument(
    "names", metavar="[PROFILE...]", nargs=-1, shell_complete=completers.complete_profiles
)
@click.option("--json", "as_json", is_flag=True, help="One object per fault.")
def check(names: tuple[str, ...], as_json: bool) -> int:
    """Check profiles, all of them by default; every fault with its line and column."""
    store = profile_lookup.store()
    files = [store.find(name) for name in names] if names else store.files()
    faults: list[ProfileProblem] = []
    for file in files:
        try:
            file.read()
        except ProfileError as error:
            faults += error.problems
    for fault in faults:
        if as_json:
            one = {
                "file": str(fault.file), "line": fault.line, "column": fault.column,
                "error": fault.message, "hint": fault.hint,
            }  # fmt: skip
            click.echo(forward_output.json_line(one))
        else:
            click.echo(_shown(fault))
    if not faults and not as_json:
        click.echo(f"{pluralize(len(files), 'profile')}, nothing wrong", err=True)
    return ExitCode.FAILED if faults else ExitCode.DONE


def _shown(fault: ProfileProblem) -> str:
    return one_line(str(fault)) + (f" → {one_line(fault.hint)}" if fault.hint else "")


@profile.command()
@click.argument("name", metavar="PROFILE", shell_complete=completers.complete_profiles)
def edit(name: str) -> int:
    """Edit a profile in $VISUAL or $EDITOR; a new one begins with an example.

    What is saved is checked; what is wrong with it is not written, and can be edited again.
    """
    store = profile_lookup.store()
    try:
        file = store.find(name)
    except UsageError:
        path = store.path_for(name)
        if Path(name).name != name or name.startswith("."):
            raise
        file = ProfileFile(path)
        text = _NEW.format(schema=schema_path().as_uri())
    else:
        text = file.text()
    before = text
    while True:
        edited = click.edit(text, extension=".yaml", require_save=False)
        if edited is None or edited == before:
            click.echo("nothing was changed", err=True)
            return ExitCode.DONE
        try:
            parse_profile(edited, file.path)
        except ProfileError as error:
            for fault in error.problems:
                click.echo(_shown(fault), err=True)
            if not (sys.stdin.isatty() and click.confirm("Edit it again?", default=True, err=True)):
                raise TuiForwardError(
                    f"{file.path} was left as it is", hint="what you wrote was wrong"
                ) from error
            text = edited
            continue
        store.write(file.path, edited)
        click.echo(f"wrote {file.path}", err=True)
        return ExitCode.DONE


@profile.command("import")
@click.argument("file", type=click.File("r", encoding="utf-8-sig", errors="replace"))
@click.option("--name", help="Of the new profile; that of the file by default.")
@click.option("--print", "print_only", is_flag=True, help="Print it instead of writing it.")
def import_(file: TextIO, name: str | None, print_only: bool) -> int:
    """Make a profile of kubectl lines, kftray's JSON, kportal's YAML or k9s' annotations.

    FILE may be a script, a shell's history, what `kubectl get pods -o yaml` prints, manifests,
    or - for what is piped in.
    """
    found = import_forwards(file.read(MAX_FILE_BYTES + 1))
    store = profile_lookup.store()
    wanted = name or _NOT_IN_NAMES.sub("-", Path(file.name).stem).strip("._-") or "imported"
    path = store.path_for(wanted)
    text = serialize_profile(found.specs, path)
    for note in found.notes:
        click.echo(one_line(note), err=True)
    if print_only:
        click.echo(text, nl=False)
        return ExitCode.DONE
    if Path(wanted).name != wanted or path.exists():
        raise UsageError(f"{path} is there already", hint="choose another one with --name")
    store.write(path, text)
    click.echo(f"{pluralize(len(found.specs), 'forward')} written to {path}", err=True)
    return ExitCode.DONE


@profile.command()
@click.argument("name", metavar="PROFILE", shell_complete=completers.complete_profiles)
@click.option(
    "--format",
    "form",
    type=click.Choice(["kubectl", "sh", "env"]),
    default="kubectl",
    help="Lines for kubectl, a shell script, or NAME=VALUE lines. [default: kubectl]",
)
def export(name: str, form: str) -> int:
    """Print a profile for those who do not have tui-forward."""
    found = profile_lookup.store().find(name).read()
    if form == "sh":
        click.echo(format_shell_script(found), nl=False)
        return ExitCode.DONE
    for line in format_kubectl_commands(found) if form == "kubectl" else format_env(found):
        click.echo(line)
    return ExitCode.DONE


@profile.command()
def schema() -> int:
    """Print the JSON Schema of profiles, for editors and checks."""
    click.echo(schema_path().read_text(encoding="utf-8"), nl=False)
    return ExitCode.DONE


def schema_path() -> Path:
    """The published JSON Schema, as it was installed."""
    import tui_forward.profiles

    return Path(tui_forward.profiles.__file__).with_name("profile.schema.json")
