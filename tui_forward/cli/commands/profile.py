"""`tui-forward profile`: list, show, check, edit, import and export profiles."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import click
import msgspec

from tui_forward.cli import completers, forward_output, profile_lookup
from tui_forward.cli.exit_codes import ExitCode
from tui_forward.cli.output import style, use_color
from tui_forward.cli.questions import ask, ask_text, can_ask
from tui_forward.common.bounded_file import may_exist
from tui_forward.common.formatting import pluralize
from tui_forward.common.printable import escape_unprintable, one_line
from tui_forward.errors import TuiForwardError, UsageError
from tui_forward.profiles.description import describe_exposure, describe_forwards
from tui_forward.profiles.exporters import format_env, format_kubectl_commands, format_shell_script
from tui_forward.profiles.importers.command_reader import ReadOptions
from tui_forward.profiles.importers.findings import Variable, describe_remark
from tui_forward.profiles.importers.importer import MAX_FILE_BYTES, import_forwards
from tui_forward.profiles.importers.own_kubeconfig import own_kubeconfig_test
from tui_forward.profiles.parser import ProfileError, ProfileProblem, parse_profile
from tui_forward.profiles.profile import Profile
from tui_forward.profiles.serializer import serialize_profile
from tui_forward.profiles.store import ProfileFile

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")
# A variable or placeholder that can be asked for; not a command substitution.
_VARIABLE = re.compile(r"[A-Za-z_][\w .-]*")
_MAX_QUESTIONS = 30
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


def _parse_settings(
    _context: click.Context, _option: click.Parameter, values: tuple[str, ...]
) -> dict[str, str]:
    settings = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not (name and equals):
            raise UsageError(f'--set "{value}" has no value', hint="write --set NAME=VALUE")
        settings[name.lstrip(".$")] = text
    return settings


@click.group(short_help="List, show, check, edit, import and export profiles.")
def profile() -> None:
    """List, show, check, edit, import and export profiles.

    A profile is a group of forwards in a YAML file: in your configuration folder, or
    .tui-forward.yaml in the root of a working tree.
    """


@profile.command("list")
@click.option("--json", "as_json", is_flag=True, help="One object per line.")
def list_(as_json: bool) -> int:
    """List your profiles and the working tree's."""
    files = profile_lookup.store().files()
    if not files and not as_json:
        folder = profile_lookup.store().folder
        click.echo(
            "no profiles yet; `tui-forward profile edit NAME` creates one in "
            f"{escape_unprintable(str(folder))}",
            err=True,
        )
    for file in files:
        try:
            found: Profile | None = file.read()
            problem = ""
        except ProfileError as error:
            found, problem = None, str(error)
        name = found.name if found is not None else escape_unprintable(file.path.stem)
        if as_json:
            record = {
                "profile": name, "file": str(file.path), "team": file.team,
                "description": found.description if found is not None else "",
                "forwards": len(found.forwards) if found is not None else None, "error": problem,
            }  # fmt: skip
            click.echo(forward_output.json_line(record))
        elif found is not None:
            count = pluralize(len(found.forwards), "forward")
            owner = "  (of this working tree)" if file.team else ""
            description = f"  {one_line(found.description)}" if found.description else ""
            click.echo(f"{name:<20} {count:<12}{description}{owner}")
        else:
            invalid = style(f"{'invalid':<12}", "1;31", color=use_color(sys.stdout))
            click.echo(f"{name:<20} {invalid}  {one_line(problem)}")
    return ExitCode.DONE


@profile.command()
@click.argument("name", metavar="PROFILE", shell_complete=completers.complete_profiles)
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def show(name: str, as_json: bool) -> int:
    """Show the forwards of a profile."""
    found = profile_lookup.store().find(name).read()
    if as_json:
        click.echo(forward_output.json_line(msgspec.to_builtins(found, enc_hook=str)))
        return ExitCode.DONE
    click.echo(f"{found.name}: {escape_unprintable(str(found.file))}")
    if found.description:
        click.echo(one_line(found.description))
    for line in describe_forwards(found):
        click.echo(f"  {line}")
    return ExitCode.DONE


@profile.command()
@click.argument(
    "names", metavar="[PROFILE...]", nargs=-1, shell_complete=completers.complete_profiles
)
@click.option("--json", "as_json", is_flag=True, help="One object per problem.")
def check(names: tuple[str, ...], as_json: bool) -> int:
    """Check profiles, all by default; print problems with line and column."""
    store = profile_lookup.store()
    files = [store.find(name) for name in names] if names else store.files()
    problems: list[ProfileProblem] = []
    for file in files:
        try:
            file.read()
        except ProfileError as error:
            problems += error.problems
    for problem in problems:
        if as_json:
            record = {
                "file": str(problem.file), "line": problem.line, "column": problem.column,
                "error": problem.message, "hint": problem.hint,
            }  # fmt: skip
            click.echo(forward_output.json_line(record))
        else:
            click.echo(_format_problem(problem))
    if not problems and not as_json:
        click.echo(f"{pluralize(len(files), 'profile')}, no problems", err=True)
    return ExitCode.FAILED if problems else ExitCode.DONE


def _format_problem(problem: ProfileProblem) -> str:
    return one_line(str(problem)) + (f" → {one_line(problem.hint)}" if problem.hint else "")


@profile.command()
@click.argument("name", metavar="PROFILE", shell_complete=completers.complete_profiles)
def edit(name: str) -> int:
    """Edit a profile in $VISUAL or $EDITOR; a new profile starts with an example.

    The profile is checked before it is saved; an invalid one can be edited again.
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
            parse_profile(edited, file.path, team=file.team)
        except ProfileError as error:
            for problem in error.problems:
                click.echo(_format_problem(problem), err=True)
            if not (can_ask() and ask("Edit it again?", default=True)):
                raise TuiForwardError(
                    f"{file.path} was not changed: the edited profile is invalid"
                ) from error
            text = edited
            continue
        store.write(file.path, edited)
        click.echo(f"wrote {escape_unprintable(str(file.path))}", err=True)
        return ExitCode.DONE


@profile.command("import")
@click.argument("file", type=click.File("rb"))
@click.option("--name", help="Name of the new profile; the file's name by default.")
@click.option(
    "--set",
    "settings",
    metavar="NAME=VALUE",
    multiple=True,
    callback=_parse_settings,
    help="Value of a variable or placeholder in the file; repeatable.",
)
@click.option("--print", "print_only", is_flag=True, help="Print the profile, do not save it.")
def import_(file: BinaryIO, name: str | None, settings: dict[str, str], print_only: bool) -> int:
    """Create a profile from kubectl commands, or from files of other programs.

    FILE may be a script, a Makefile, a shell history, Markdown, package.json, tasks.json, a compose
    file, kftray's JSON, kportal's YAML, skaffold.yaml, devspace.yaml, the output of `kubectl get
    services -o json`, manifests with annotations of k9s, or - for stdin.
    """
    content = file.read(MAX_FILE_BYTES + 1)
    options = ReadOptions(values=settings, is_own_kubeconfig=own_kubeconfig_test(os.environ))
    found = import_forwards(content, options)
    if found.variables and can_ask():
        values = {**settings, **_ask_values(found.variables)}
        found = import_forwards(content, replace(options, values=values))
    for remark in sorted((*found.notes, *found.left_out), key=lambda one: one.line):
        click.echo(one_line(describe_remark(remark)), err=True)
    if not found.specs:
        raise TuiForwardError(f"{found.summary}: nothing could be imported")
    store = profile_lookup.store()
    stem = Path(str(getattr(file, "name", "stdin"))).stem
    profile_name = name or _NOT_IN_NAMES.sub("-", stem).strip("._-") or "imported"
    path = store.path_for(profile_name)
    text = serialize_profile(found.specs, path)
    profile = parse_profile(text, path)
    for line in describe_exposure(profile):
        click.echo(style(line, "1;31", color=use_color(sys.stderr)), err=True)
    if print_only:
        click.echo(text, nl=False)
    else:
        if Path(profile_name).name != profile_name or may_exist(path):
            raise UsageError(f"{path} already exists", hint="choose another name with --name")
        store.write(path, text)
        click.echo(f"wrote {escape_unprintable(str(path))}", err=True)
    click.echo(found.summary, err=True)
    return ExitCode.DONE


def _ask_values(variables: Sequence[Variable]) -> dict[str, str]:
    """Ask for values; "-" or no answer leaves out what needs it, Ctrl-C also what follows."""
    values = {}
    for one in variables[:_MAX_QUESTIONS]:
        if not _VARIABLE.fullmatch(one.name):
            continue
        question = f"Value of {one.name} ({'-' if one.suggestion else 'empty'} to leave it out)"
        answer = ask_text(question, default=one.suggestion)
        if answer is None:
            break
        if answer not in ("", "-"):
            values[one.name] = answer
    return values


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
    """Print a profile for use without tui-forward."""
    found = profile_lookup.store().find(name).read()
    if form == "sh":
        click.echo(format_shell_script(found), nl=False)
        return ExitCode.DONE
    for line in format_kubectl_commands(found) if form == "kubectl" else format_env(found):
        click.echo(line)
    return ExitCode.DONE


@profile.command()
def schema() -> int:
    """Print the JSON Schema of profiles, for editors and CI."""
    click.echo(schema_path().read_text(encoding="utf-8"), nl=False)
    return ExitCode.DONE


def schema_path() -> Path:
    """Return the installed JSON Schema of profiles."""
    import tui_forward.profiles

    return Path(tui_forward.profiles.__file__).with_name("profile.schema.json")
