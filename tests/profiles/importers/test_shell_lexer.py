from __future__ import annotations

import shlex
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_forward.profiles.importers.shell_lexer import Dialect, Word, lex, literal_word

# `$`, backquotes and what looks like a placeholder are expansions even within quotes.
PLAIN = st.text(
    st.characters(
        codec="utf-8", exclude_categories=("Cs", "Cc", "Zs", "Cf", "Pi", "Pf", "Pd", "Ps"),
        exclude_characters="$`%{}<>!\"'«»‹›：／＂＇",
    ),
    max_size=12,
)  # fmt: skip
QUOTABLE = st.text("ab \t'\"\\;&|()#*?~=:/-,.", max_size=12)


def commands(text: str, dialect: Dialect = Dialect.POSIX) -> list[list[str]]:
    return [[f"{one.redirect}{one.text}" for one in command]
            for command in lex(text, dialect).commands]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b;c&&d||e|f&g", [["a", "b"], ["c"], ["d"], ["e"], ["f"], ["g"]]),
        ("(a) & { b; }", [["a"], ["{", "b"], ["}"]]),
        ("a 'b c' \"d e\"f\\ g", [["a", "b c", "d ef g"]]),
        ("a >x 2>&1 &>> y <in <<EOF 2>/dev/null b", [
            ["a", ">x", "2>&1", "&>>y", "<in", "<<EOF", "2>/dev/null", "b"]]),
        ("a 8080:80>x", [["a", "8080:80", ">x"]]),
        ("a # b", [["a"]]),
        ("a#b '#c' \\#d", [["a#b", "#c", "#d"]]),
        ("a \"it's\" 'x\"y'", [["a", "it's", 'x"y']]),
        ("don't a", [["don't", "a"]]),
        ("\"a b", [['"a', "b"]]),
        ("a '' \"\"", [["a", "", ""]]),
        ("a \"$(b \"c d\")\" e", [["a", '$(b "c d")', "e"]]),
        ("a `b c` d", [["a", "`b c`", "d"]]),
        ("a ``b c`` d", [["a"], ["b", "c"], ["d"]]),
        ("a $(b (c) d) e", [["a", "$(b (c) d)", "e"]]),
        ("a $(b", [["a", "$(b"]]),
        ("a ${b", [["a", "${b"]]),
        ("a <b c> <d", [["a", "<b c>", "<d"]]),
        (r"C:\bin\kubectl.exe .\k", [[r"C:\bin\kubectl.exe", r".\k"]]),
        ("a\u00a0b \u2013n \u2014name \u201cc d\u201d \u2018e\u2019", [
            ["a", "b", "-n", "--name", "c d", "e"]]),
    ],
)  # fmt: skip
def test_posix(text: str, expected: list[list[str]]) -> None:
    assert commands(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a 'it''s' \"b`\"c\" `\"d", [["a", "its", 'b"c', '"d']]),
        ("Start-Job {a b}; & 'C:\\x y.exe' c", [["Start-Job"], ["a", "b"], ["C:\\x y.exe", "c"]]),
        ('a $env:NS "$x" | b', [["a", "$env:NS", "$x"], ["b"]]),
        ("a C:\\b\\c", [["a", "C:\\b\\c"]]),
    ],
)
def test_powershell(text: str, expected: list[list[str]]) -> None:
    assert commands(text, Dialect.POWERSHELL) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('a "b c" d^&e & f', [["a", "b c", "d&e"], ["f"]]),
        ("a 'b c' ;d #e", [["a", "'b", "c'", ";d", "#e"]]),
        ("a %X% !Y! >nul 2>&1", [["a", "%X%", "!Y!", ">nul", "2>&1"]]),
    ],
)
def test_cmd(text: str, expected: list[list[str]]) -> None:
    assert commands(text, Dialect.CMD) == expected


@pytest.mark.parametrize(
    ("text", "name", "default"),
    [
        ("$NS", "NS", None), ("${NS}", "NS", None), ("${NS:-x}", "NS", "x"), ("${NS-x}", "NS", "x"),
        ("${NS:=x}", "NS", "x"), ("${NS%%.*}", "NS", None), ("${NS:?no}", "NS", None),
        ("$$NS", "NS", None), ("$(NS)", "NS", None), ("$$(NS)", "NS", None), ("$1", "1", None),
        ("$@", "@", None), ("%NS%", "NS", None), ("$env:NS", "NS", None),
        ("${env:NS}", "NS", None), ("${input:ns}", "ns", None), ("{{ .NS }}", "NS", None),
        ("{{- .Values.ns -}}", "Values.ns", None), ("{{ns}}", "ns", None),
        ("${{ inputs.ns }}", "inputs.ns", None), ("<namespace>", "namespace", None),
        ("<your pod>", "your pod", None), ("{name}", "name", None), ("#{name}", "name", None),
        ("%{ns}", "ns", None), ("$(a b)", "$(a b)", None), ("${a/b", "${…", None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("quote", ["", '"', "'"])
def test_expansions(text: str, name: str, default: str | None, quote: str) -> None:
    if quote == "'" and name[:1] == "$":
        return  # a substitution in single quotes is text
    ((word,),) = lex(f"{quote}x{text}-y{quote}").commands
    (expansion,) = word.expansions
    assert (expansion.name, expansion.default) == (name, default)
    assert word.text.startswith(f"x{text}" if name != "${…" else "x${")
    assert word.expand(lambda one: f"<{one.name}>")[0].startswith(f"x<{name}>")
    assert word.expand(lambda _: None)[1] == [expansion]


@given(st.lists(PLAIN, min_size=1, max_size=5), st.sampled_from(["", " &", "; x", " | y", " # z"]))
def test_quoted_words_are_read_back(words: list[str], end: str) -> None:
    assert commands(shlex.join(words) + end)[0] == words


@given(st.lists(QUOTABLE, min_size=1, max_size=5), st.sampled_from(["({})", "a; {}", "{} >x 2>&1"]))
def test_quoted_words_are_read_back_in_place(words: list[str], around: str) -> None:
    text = around.format(shlex.join(words))
    assert words in [[one.text for one in command if not one.redirect]
                     for command in lex(text).commands]  # fmt: skip


@given(st.text("ab'\"\\ $(){}`<>|&;#%!^\n-–“”", max_size=40), st.sampled_from(Dialect))
def test_any_text_is_lexed(text: str, dialect: Dialect) -> None:
    for command in lex(text, dialect).commands:
        for word in command:
            assert isinstance(word, Word)
            assert word.expand(lambda one: one.raw)[0] == word.text


@given(PLAIN)
def test_literal_word_is_the_text(text: str) -> None:
    assert literal_word(text).text == text


@pytest.mark.parametrize(
    "piece",
    ["'", '"', "$(", "${", "`", "\\", "\\a", '"$(', "<a", "{a", "%a", "a;", "(", ")", "$", ">",
     "{{", "“", "–", "$(a)", '"\\', "''", "#", "a'"],
)  # fmt: skip
def test_time_is_linear(piece: str) -> None:
    text = piece * (20_000 // len(piece))
    for dialect in Dialect:
        started = time.process_time()
        lex(text, dialect)
        assert time.process_time() - started < 3
