"""Completion scripts of bash, zsh and fish, and what they receive.

Names of contexts, pods and files are written by others, and a shell runs what it inserts into the
command line. So every candidate is one printable line. zsh and fish quote it themselves; bash
inserts it as it is, so it is quoted here. Import this module to replace click's scripts.

The scripts discard stderr, which would appear in the middle of the edited command line, and stdin,
which is the terminal.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from typing import Any, Final

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
)

_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=")
_UNSAFE = re.compile(r"[^A-Za-z0-9_@%+=:,./-]", re.ASCII)
# `complete -o nosort`.
_OLDEST_BASH: Final = (4, 4)
_BASH_S: Final = 5.0
_ESCAPED_IN_QUOTES: Final = '"\\$`'
_UNSAFE_IN_QUOTES = re.compile(r'["\\$`]')

# COMP_WORDS is the command up to the cursor, COMP_CWORD the part of its last word that readline
# replaces: what follows a colon or another character of COMP_WORDBREAKS. The program is started
# from PATH: a word such as `./tui-forward` may be any program.
_BASH = """\
%(complete_func)s() {
    local reply
    COMPREPLY=()
    while IFS= read -r reply; do
        case "$reply" in
            dir,*) compopt -o dirnames ;;
            file,*) compopt -o default ;;
            plain,*) COMPREPLY+=("${reply#plain,}") ;;
        esac
    done < <(env COMP_WORDS="${COMP_LINE:0:$COMP_POINT}" COMP_CWORD="$2" \\
        %(complete_var)s=bash_complete %(prog_name)s </dev/null 2>/dev/null)
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""
# Each candidate is three lines: type, value, description (`_`: none). The words behind the cursor
# are left out, since a quotation mark that is still open would reach into them.
_ZSH = """\
#compdef %(prog_name)s

%(complete_func)s() {
    local -a plain described response
    local type value description
    response=("${(@f)$(env COMP_WORDS="${(j: :)words[1,CURRENT]}" COMP_CWORD=$((CURRENT-1)) \\
        %(complete_var)s=zsh_complete %(prog_name)s </dev/null 2>/dev/null)}")
    for type value description in ${response}; do
        case "$type" in
            dir) _path_files -/ ;;
            file) _path_files -f ;;
            plain)
                if [[ "$description" == "_" ]]; then
                    plain+=("$value")
                else
                    described+=("$value:$description")
                fi
                ;;
        esac
    done
    (( $#described )) && _describe -V unsorted described -U
    (( $#plain )) && compadd -U -V unsorted -a plain
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    %(complete_func)s "$@"
else
    compdef %(complete_func)s %(prog_name)s
fi
"""
_FISH = """\
function %(complete_func)s
    set -l line (commandline -cp | string collect)
    set -l word (commandline -t | string collect)
    set -l response (env COMP_WORDS=$line COMP_CWORD=$word \\
        %(complete_var)s=fish_complete %(prog_name)s </dev/null 2>/dev/null)
    for reply in $response
        set -l parts (string split -m 1 "," -- $reply)
        switch $parts[1]
            case dir
                __fish_complete_directories $parts[2]
            case file
                __fish_complete_path $parts[2]
            case plain
                printf '%%s\\n' $parts[2]
        end
    end
end

complete --no-files --command %(prog_name)s --arguments "(%(complete_func)s)"
"""


class _PrintableCandidates(ShellComplete):
    """Completion whose candidates are printable text of one line."""

    option = ""  # `--context=` if the word is an option with its value

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        """Return the candidates; click separates an option from its value, which is undone here."""
        name, equals, _ = incomplete.partition("=")
        self.option = f"{name}=" if name.startswith("--") and equals else ""
        found = super().get_completions(args, incomplete)
        return [one for one in found if one.value.isprintable()]


def _bash_version() -> tuple[int, int] | None:
    """Return the version of the bash of PATH; None if that is unknown. Blocks for seconds."""
    executable = shutil.which("bash")
    if executable is None or not executable.startswith("/"):  # of the current folder
        return None
    try:
        output = subprocess.run(
            [executable, "--norc", "--noprofile", "-c", 'echo "${BASH_VERSION}"'],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=_BASH_S, check=True,
        ).stdout  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.match(rb"(\d{1,9})\.(\d{1,9})", output)
    return (int(match[1]), int(match[2])) if match else None


@add_completion_class
class SafeBashComplete(_PrintableCandidates, BashComplete):
    """Candidates for bash, quoted, without the part before the word that readline replaces."""

    name = "bash"
    source_template = _BASH
    _line: BashLine  # the command line up to the cursor

    @staticmethod
    def _check_version() -> None:
        """Warn if the bash of PATH is too old. Without one, nothing is known about the reader's."""
        version = _bash_version()
        if version is not None and version < _OLDEST_BASH:
            click.echo(
                f"warning: bash {version[0]}.{version[1]} does not support this completion; "
                "it needs bash 4.4 or newer",
                err=True,
            )

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the last one, and the last one without its quotes."""
        self._line = BashLine.parse(os.environ["COMP_WORDS"])
        words = [*self._line.words]
        while words and _ASSIGNMENT.match(words[0]):
            del words[0]
        return words[1:], self._line.last

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        """Return the candidates that can be inserted."""
        items = []
        for one in super().get_completions(args, incomplete):
            if one.type != "plain":
                items.append(one)
                continue
            replacement = self._line.replace(
                os.environ.get("COMP_CWORD", ""), self.option + one.value
            )
            if replacement is not None:
                items.append(CompletionItem(replacement))
        return items

    def format_completion(self, item: CompletionItem[Any]) -> str:
        """Return a line for the script."""
        return f"{item.type},{item.value}"


@add_completion_class
class SafeZshComplete(_PrintableCandidates, ZshComplete):
    """Candidates for zsh, whose `compadd` quotes them."""

    name = "zsh"
    source_template = _ZSH

    def format_completion(self, item: CompletionItem[str]) -> str:
        """Return the lines for the script."""
        item.value = self.option + item.value if item.type == "plain" else item.value
        return super().format_completion(item)


@add_completion_class
class SafeFishComplete(_PrintableCandidates, FishComplete):
    """Candidates for fish, which quotes them."""

    name = "fish"
    source_template = _FISH

    def format_completion(self, item: CompletionItem[str]) -> str:
        """Return a line for the script."""
        item.value = self.option + item.value if item.type == "plain" else item.value
        return super().format_completion(item)


@dataclass(slots=True)
class BashLine:
    """Command line up to the cursor, in words as bash splits it. Expansions are not made."""

    words: list[str] = field(default_factory=list)  # complete ones, without quotes
    last: str = ""  # the one at the cursor, without quotes; empty behind a space
    written: str = ""  # the same one as it is written
    quote: str = ""  # quotation mark that is open at the cursor

    @classmethod
    def parse(cls, line: str) -> BashLine:
        """Split a command line."""
        parsed = cls()
        escaped = False
        for letter in line:
            if letter.isspace() and not parsed.quote and not escaped:
                if parsed.written:
                    parsed.words.append(parsed.last)
                parsed.last = parsed.written = ""
                continue
            parsed.written += letter
            if escaped:
                escaped = False
                if parsed.quote and letter not in _ESCAPED_IN_QUOTES:
                    parsed.last += "\\"
                parsed.last += letter
            elif letter == "\\" and parsed.quote != "'":
                escaped = True
            elif parsed.quote:
                if letter == parsed.quote:
                    parsed.quote = ""
                else:
                    parsed.last += letter
            elif letter in "'\"":
                parsed.quote = letter
            else:
                parsed.last += letter
        return parsed

    def replace(self, replaced: str, word: str) -> str | None:
        """Return what makes the last word `word` if it is written in place of `replaced`.

        `replaced` is the end of the last word as it is written. None if that cannot be done.
        """
        if not self.written.endswith(replaced):
            return None
        kept = BashLine.parse(self.written.removesuffix(replaced))
        if kept.quote != self.quote or not word.startswith(kept.last):
            return None
        rest = word.removeprefix(kept.last)
        match self.quote:
            case "'":
                return None if "'" in rest else rest
            case '"':
                # `!` starts a history expansion there, and a backslash before it would stay.
                return None if "!" in rest else _UNSAFE_IN_QUOTES.sub(r"\\\g<0>", rest)
            case _:
                return _UNSAFE.sub(r"\\\g<0>", rest)
