"""Completion scripts of bash, zsh and fish, and what they receive.

Names of contexts, pods and files are written by others, and a shell runs what it inserts into the
command line. So every candidate is one printable line. zsh and fish quote it themselves; bash
inserts it as it is, so it is quoted here. Import this module to replace click's scripts.
"""

from __future__ import annotations

import os
import re
from typing import Any

from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
    split_arg_string,
)

_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=")
_UNSAFE = re.compile(r"[^A-Za-z0-9_@%+=:,./-]", re.ASCII)

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
        %(complete_var)s=bash_complete %(prog_name)s)
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""
_FISH = """\
function %(complete_func)s
    set -l line (commandline -cp | string collect)
    set -l word (commandline -t | string collect)
    set -l response (env COMP_WORDS=$line COMP_CWORD=$word \\
        %(complete_var)s=fish_complete %(prog_name)s)
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


@add_completion_class
class SafeBashComplete(_PrintableCandidates, BashComplete):
    """Candidates for bash, quoted, without the part before the word that readline replaces."""

    name = "bash"
    source_template = _BASH
    _typed = ""  # the last word as it is written on the command line

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the last one, and the last one without its quotes."""
        line = os.environ["COMP_WORDS"]
        start = _last_word(line)
        self._typed = line[start:]
        words = split_arg_string(line[:start])
        while words and _ASSIGNMENT.match(words[0]):
            del words[0]
        return words[1:], "".join(split_arg_string(self._typed)[:1])

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        """Return the candidates that can be inserted."""
        found = super().get_completions(args, incomplete)
        replaced = os.environ.get("COMP_CWORD", "")
        items = []
        for one in found:
            word = self.option + one.value
            if one.type != "plain":
                items.append(one)
                continue
            typed = self._typed
            if "'" in typed or '"' in typed:
                # Inside quotes another quoting would apply.
                if _UNSAFE.search(word):
                    continue
                typed = incomplete
            else:
                word = _UNSAFE.sub(r"\\\g<0>", word)
            before = typed.removesuffix(replaced)
            if word.startswith(before):
                items.append(CompletionItem(word.removeprefix(before)))
        return items

    def format_completion(self, item: CompletionItem[Any]) -> str:
        """Return a line for the script."""
        return f"{item.type},{item.value}"


@add_completion_class
class SafeZshComplete(_PrintableCandidates, ZshComplete):
    """Candidates for zsh, whose `compadd` quotes them."""

    name = "zsh"

    def format_completion(self, item: CompletionItem[str]) -> str:
        """Return the lines for click's script."""
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


def _last_word(line: str) -> int:
    """Return where the last word of a command line starts; its end if that is a space."""
    start, quote, escaped = 0, "", False
    for index, letter in enumerate(line):
        if escaped:
            escaped = False
        elif letter == "\\" and quote != "'":
            escaped = True
        elif quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter.isspace():
            start = index + 1
    return start
