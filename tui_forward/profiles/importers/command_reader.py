"""A simple command as forwards, or as a remark why it is left out. Pure.

The command is found in its words wherever it stands: behind prompts, assignments and wrappers,
or within prose. Its arguments are parsed by `common.kubectl_command`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tui_forward.common.access_options import describe_access_options, secret_option_names
from tui_forward.common.kubectl_command import (
    OtherKubeconfigError,
    is_kubectl,
    parse_command,
    takes_value,
)
from tui_forward.common.kubectl_options import SECRET_OPTIONS
from tui_forward.errors import UsageError
from tui_forward.model import BUILT_IN, NO_OPTIONS, AccessOptions, ForwardDefaults, ForwardSpec
from tui_forward.profiles.importers.findings import (
    Findings,
    FoundForward,
    Place,
    Remark,
    RemarkCode,
    Variable,
)
from tui_forward.profiles.importers.shell_lexer import Expansion, Literal, Word, lex
from tui_forward.profiles.importers.shell_scope import (
    Assignments,
    Scope,
    Setting,
    split_assignment,
)

DEFAULT_KUBECONFIG: Final = "~/.kube/config"
_HOME: Final = re.compile(
    r"^(?:\$HOME|\$\{HOME\}|\$\(HOME\)|%USERPROFILE%|%HOME%|\$env:(?:USERPROFILE|HOME)"
    r"|\$\{env:HOME\}|\{\{ *env_var\(.HOME.\) *\}\}|/home/[^/]+(?=/\.kube/config$)"
    r"|/Users/[^/]+(?=/\.kube/config$)|[A-Za-z]:[\\/]Users[\\/][^\\/]+(?=[\\/]\.kube[\\/]config$))"
)
_HOME_VARIABLES: Final = frozenset({"HOME", "USERPROFILE"})
_SHELLS: Final = frozenset({"sh", "bash", "zsh", "dash", "ksh", "fish", "pwsh", "powershell",
                            "powershell.exe", "cmd", "cmd.exe"})  # fmt: skip
_REMOTE: Final = frozenset({
    "ssh", "autossh", "mosh", "sshpass", "pdsh", "docker", "podman", "nerdctl", "docker-compose",
    "vagrant", "lima", "limactl", "colima", "gcloud", "multipass", "distrobox", "toolbox",
    "nsenter", "chroot", "ansible",
})  # fmt: skip
_PRINTERS: Final = frozenset({"echo", "printf", "print", "println", "Write-Host", "Write-Output",
                              "log", "info", "warn", "say", "rem", "REM", "::", "//", "<!--",
                              "cat"})  # fmt: skip
# Words that stand before a command without being text: reserved words and wrappers.
_WRAPPERS: Final = frozenset({
    "nohup", "exec", "time", "command", "builtin", "env", "watch", "timeout", "gtimeout", "nice",
    "ionice", "setsid", "stdbuf", "unbuffer", "caffeinate", "eval", "call", "start", "do", "then",
    "else", "if", "elif", "while", "until", "!", "{", "}", "&", "$", "%", ">", "❯", "➜", "#", "-",
    "@", "*", "+", "λ", "»", "sudo", "doas", "minikube", "microk8s", "k3s", "k0s", "kubie",
    "for", "in", "done", "fi", "trap", "bg", "coproc", "xargs", "parallel", "aws-vault", "CMD",
    "RUN", "ENTRYPOINT",
})  # fmt: skip
_ROOT: Final = frozenset({"sudo", "doas"})
_PROGRAM_VARIABLES: Final = re.compile(r"KUBECTL|KUBE_?CMD|^K$|^KC$|^OC$|^KCTL$", re.IGNORECASE)
# Of files of supervisors: `command=kubectl port-forward …`.
_NAMED_PROGRAM: Final = re.compile(r"[A-Za-z]+=(kubectl|oc)")
_VERSIONED: Final = re.compile(r"kubectl[-_.]?v?\d[\d.]*(?:\.exe)?")
_PORT_LIKE: Final = re.compile(r"[0-9:]")
_NAMESPACE: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_POSITIONAL: Final = frozenset({"@", "*"})


def spell_kubeconfig(text: str) -> str:
    """Return the path of a kubeconfig with the home folder as `~`; `default` is kftray's."""
    path = _HOME.sub("~", text.strip())
    path = path.replace("\\", "/") if path.startswith("~\\") else path
    return DEFAULT_KUBECONFIG if path in ("", "default") else path


def is_default_kubeconfig(path: str) -> bool:
    """Return whether a spelled path is the one that kubectl uses without KUBECONFIG."""
    return path == DEFAULT_KUBECONFIG


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """What is known beside the text."""

    values: Mapping[str, str] = field(default_factory=dict)  # of variables
    # For a path of `spell_kubeconfig`: whether its contexts are those of this program.
    is_own_kubeconfig: Callable[[str], bool] = is_default_kubeconfig
    # For what a command leaves out. `access` are the options of the context.
    context: str = ""
    namespace: str = ""
    access: AccessOptions = NO_OPTIONS
    accept_secrets: bool = False  # whether commands may have a token or a password
    defaults: ForwardDefaults = BUILT_IN


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandOrigin:
    """Where a command stands."""

    line: int
    place: Place = Place.COMMAND
    remote: str = ""  # program that runs it on another machine
    label: str = ""


@dataclass(slots=True)
class _Prefix:
    """What stands before the program."""

    kubeconfig: Word | None = None
    context: Word | None = None
    namespace: Word | None = None
    remote: str = ""
    root: str = ""
    environment: list[str] = field(default_factory=list)
    is_prose: bool = False


class _LeftOutError(Exception):
    def __init__(
        self, code: RemarkCode, *, value: str = "", detail: str = "", hint: str = "",
        since: int = 0, variables: tuple[Variable, ...] = (),
    ) -> None:  # fmt: skip
        super().__init__(code)
        self.code = code
        self.value = value
        self.detail = detail
        self.hint = hint
        self.since = since
        self.variables = variables


class CommandReader:
    """Reader of simple commands of one text."""

    def __init__(self, options: ReadOptions, text: str) -> None:
        self._options = options
        self._assignments = Assignments(text)

    # Finding the program --------------------------------------------------------------------

    def find(self, words: Sequence[Word], scope: Scope) -> int | None:
        """Return the index of the program of a port-forward command."""
        program: int | None = None
        for at, word in enumerate(words):
            if self._is_program(word, scope):
                program = at
            elif program is not None:
                ours = words[program].text.rpartition("/")[2] == "tui-forward"
                if word.text == ("forward" if ours else "port-forward"):
                    return program
        return None

    def _is_program(self, word: Word, scope: Scope) -> bool:
        text = _program_name(word.text)
        if not word.expansions:
            return is_kubectl(text) or text in scope.aliases
        expansion = word.expansions[-1]
        if text != expansion.raw:
            return is_kubectl(text)  # $HOME/bin/kubectl
        if is_kubectl(expansion.default or "") or _PROGRAM_VARIABLES.search(expansion.name):
            return True
        words = self._program_words(expansion.name)
        return bool(words) and is_kubectl(words[0].text)

    def _program_words(self, name: str) -> list[Word]:
        words = self._assignments.words(name)
        if len(words) == 1 and " " in words[0].text and not words[0].expansions:
            return next(iter(lex(words[0].text).commands), [])
        return words

    # Reading --------------------------------------------------------------------------------

    def read(
        self, words: Sequence[Word], program: int, scope: Scope, origin: CommandOrigin
    ) -> Findings:
        """Return the forwards of a command whose program is at that index, or a remark."""
        findings = Findings()
        remarks: list[Remark] = []

        def note(code: RemarkCode, value: str, since: int = 0) -> None:
            remarks.append(Remark(code=code, line=origin.line, label=origin.label, value=value,
                                  since=since, place=origin.place))  # fmt: skip

        try:
            specs = self._specs(words, program, scope, origin, note)
        except _LeftOutError as error:
            findings.remarks.append(
                Remark(
                    code=error.code, line=origin.line, label=origin.label, value=error.value,
                    detail=error.detail, hint=error.hint, since=error.since,
                    variables=error.variables, place=origin.place,
                )
            )  # fmt: skip
            return findings
        for number, spec in enumerate(specs):
            findings.forwards.append(
                FoundForward(
                    line=origin.line,
                    name=origin.label or spec.target.name.partition("=")[2].split(",")[0]
                    or spec.target.name,
                    spec=spec, place=origin.place, remarks=() if number else tuple(remarks),
                )
            )  # fmt: skip
        return findings

    def _specs(
        self, words: Sequence[Word], program: int, scope: Scope, origin: CommandOrigin,
        note: Callable[..., None],
    ) -> tuple[ForwardSpec, ...]:  # fmt: skip
        prefix = self._read_prefix(words[:program])
        if remote := origin.remote or prefix.remote:
            raise _LeftOutError(RemarkCode.OTHER_MACHINE, value=remote)
        arguments = self._arguments(words[program], scope, note)
        arguments += [one for one in words[program + 1 :] if not one.redirect]
        if len(arguments) > 1 and arguments[1].text == "--":  # minikube kubectl -- …
            del arguments[1]
        arguments = self._replace_pods(arguments, note)
        if not self._options.accept_secrets:
            _check_secrets(arguments)  # whose values need not be known
        texts = self._expand_arguments(arguments)
        texts, cut = _cut_prose(texts, is_prose=prefix.is_prose)
        if cut:
            note(RemarkCode.TRAILING_TEXT, cut)
        if prefix.root:
            note(RemarkCode.ROOT, prefix.root)
        for one in prefix.environment:
            note(RemarkCode.ENVIRONMENT, one)
        self._check_kubeconfig(texts, prefix, scope)
        context = self._setting(texts, ("--context",), prefix.context, scope.context, note,
                                self._options.context)  # fmt: skip
        namespace = self._setting(texts, ("--namespace", "-n"), prefix.namespace, scope.namespace,
                                  note, self._options.namespace)  # fmt: skip
        access = self._options.access
        if prefix.context or scope.context:
            access = NO_OPTIONS  # those of the default belong to its context
        try:
            specs = parse_command(
                texts, context=context, namespace=namespace, options=access,
                defaults=self._options.defaults, is_own_kubeconfig=self._is_own_kubeconfig,
            )  # fmt: skip
        except OtherKubeconfigError as error:
            raise _LeftOutError(RemarkCode.KUBECONFIG, value=error.path) from error
        except UsageError as error:
            raise _LeftOutError(
                RemarkCode.INVALID, detail=error.message, hint=error.hint
            ) from error
        for spec in specs:
            _check_names(spec)
            if spec.target.options.secrets and not self._options.accept_secrets:
                names = secret_option_names(spec.target.options)
                raise _LeftOutError(RemarkCode.SECRET_OPTION, value=names)
        return specs

    def _arguments(self, word: Word, scope: Scope, note: Callable[..., None]) -> list[Word]:
        """Return the program, with the options that an alias or a variable has."""
        name = _program_name(word.text)
        if name in scope.aliases:
            return list(scope.aliases[name])
        if word.expansions and name == word.expansions[-1].raw:
            expansion = word.expansions[-1]
            words = self._program_words(expansion.name)
            if words and is_kubectl(words[0].text):
                return list(words)
            note(RemarkCode.PROGRAM, expansion.raw)
            return [_literal(expansion.default or "kubectl")]
        return [_literal(name)]

    def _read_prefix(self, words: Sequence[Word]) -> _Prefix:
        prefix = _Prefix()
        head = True
        for at, word in enumerate(words):
            text = word.text
            name = _program_name(text)
            following = words[at + 1] if at + 1 < len(words) else None
            if assignment := split_assignment(word):
                if assignment[0] == "KUBECONFIG":
                    prefix.kubeconfig = assignment[1]
                else:
                    prefix.environment.append(assignment[0])
            elif head and (name in _REMOTE or is_kubectl(name)):
                prefix.remote = name
            elif name in _ROOT:
                prefix.root = name
            elif name in ("minikube", "microk8s"):
                prefix.context = _literal(name)
            elif name in ("k3s", "k0s"):
                prefix.kubeconfig = _literal(f"that of {name}")
            elif name == "kubie" and len(words) > at + 3:
                prefix.context, prefix.namespace = words[at + 2], words[at + 3]
            elif text in ("-p", "--profile") and following is not None and prefix.context:
                prefix.context = following
            elif text.startswith("--profile=") and prefix.context:
                prefix.context = _literal(text.partition("=")[2])
            elif not _is_wrapper(text) and head:
                prefix.is_prose = True
            if not (split_assignment(word) or name in _WRAPPERS or text.startswith("-")
                    or not text.isalnum() or text.isdecimal()):  # fmt: skip
                head = False
        if prefix.remote or prefix.kubeconfig or prefix.context:
            prefix.is_prose = False
        return prefix

    def _check_kubeconfig(self, texts: Sequence[str], prefix: _Prefix, scope: Scope) -> None:
        if any(one == "--kubeconfig" or one.startswith("--kubeconfig=") for one in texts):
            return  # it takes precedence
        since, word = 0, prefix.kubeconfig
        if word is None and scope.kubeconfig is not None:
            since, word = scope.kubeconfig.line, scope.kubeconfig.word
        if word is None or not word.text:
            return
        path, missing = word.expand(self._find_value)
        path = path if not missing else word.text
        if [one.name for one in word.expansions if len(word.parts) == 1] == ["KUBECONFIG"]:
            return  # ${KUBECONFIG:-…} is that of the user
        if not self._is_own_kubeconfig(path):
            raise _LeftOutError(RemarkCode.KUBECONFIG, value=word.text, since=since)

    def _is_own_kubeconfig(self, path: str) -> bool:
        return self._options.is_own_kubeconfig(spell_kubeconfig(path))

    def _setting(
        self, texts: Sequence[str], options: tuple[str, ...], own: Word | None,
        set_before: Setting | None, note: Callable[..., None], default: str,
    ) -> str:  # fmt: skip
        if any(text == option or text.startswith(f"{option}=")
               or (option == "-n" and re.match(r"-n\w", text))
               for text in texts for option in options):  # fmt: skip
            return default
        word = own or (set_before.word if set_before else None)
        if word is None:
            return default
        value, missing = word.expand(self._find_value)
        if missing:
            raise _LeftOutError(RemarkCode.VARIABLE, variables=self._variables(missing))
        if own is None and set_before is not None:
            note(RemarkCode.CONTEXT_OF_LINE, f"{options[0].removeprefix('--')} {value}",
                 set_before.line)  # fmt: skip
        return value

    # Expansions -----------------------------------------------------------------------------

    def _find_value(self, expansion: Expansion) -> str | None:
        values = self._options.values
        home = "~" if expansion.name in _HOME_VARIABLES else None  # of the path of a kubeconfig
        return values.get(expansion.name, values.get(expansion.raw, home))

    def _expand_arguments(self, words: Sequence[Word]) -> list[str]:
        texts: list[str] = []
        missing: list[Expansion] = []
        positional = [one for one in words
                      if len(one.parts) == 1 and one.expansions
                      and one.expansions[0].name in _POSITIONAL]  # fmt: skip
        for word in words:
            if word in positional and len(words) - len(positional) > 3:
                continue  # further arguments of a function
            text, lacking = word.expand(self._find_value)
            texts.append(text)
            missing += lacking
        if missing:
            raise _LeftOutError(RemarkCode.VARIABLE, variables=self._variables(missing))
        return texts

    def _variables(self, missing: Sequence[Expansion]) -> tuple[Variable, ...]:
        unique = {one.name: one for one in missing}
        return tuple(
            Variable(name=name, suggestion=one.default or self._assignments.suggestion(name))
            for name, one in unique.items()
        )

    def _replace_pods(self, words: list[Word], note: Callable[..., None]) -> list[Word]:
        """Replace a target that `kubectl get pods -l` prints by the selector."""
        for at, word in enumerate(words):
            selector = self._selector_of(word)
            if selector and self._find_value(word.expansions[0]) is None:
                note(RemarkCode.POD_OF_SELECTOR, word.text)
                return [*words[:at], _literal("-l"), _literal(selector), *words[at + 1 :]]
        return words

    def _selector_of(self, word: Word) -> str:
        expansions = word.expansions
        prefix = word.text.removesuffix(expansions[0].raw) if expansions else word.text
        if len(expansions) != 1 or prefix not in ("", "pod/", "pods/", "po/"):
            return ""
        script = expansions[0].script
        if not script:
            assigned = self._assignments.words(expansions[0].name)
            found = assigned[0].expansions if len(assigned) == 1 else ()
            script = found[0].script if len(found) == 1 else ""
        commands = lex(script).commands
        words = commands[0] if commands else []
        texts = [one.text for one in words]
        if not texts or not is_kubectl(texts[0]) or not {"pod", "pods", "po"} & set(texts):
            return ""
        for at, text in enumerate(texts):
            name, _, value = text.partition("=")
            if text in ("-l", "--selector") and at + 1 < len(texts):
                found_word, value = words[at + 1], texts[at + 1]
            elif name == "--selector" and value:
                found_word = words[at]
            else:
                continue
            return "" if found_word.expansions else value
        return ""


def _literal(text: str) -> Word:
    return Word((Literal(text),))


def _program_name(text: str) -> str:
    """Return a program without its folder, and the marks of Make, Just and prompts before it."""
    name = text.lstrip("@-+[(`'\"")
    if text.startswith("-") and len(name) == 1:
        return text  # an option
    name = name.replace("\\", "/").rpartition("/")[2]
    if match := _NAMED_PROGRAM.fullmatch(name):
        return match[1]
    return "kubectl" if _VERSIONED.fullmatch(name) else name


def _is_wrapper(text: str) -> bool:
    name = _program_name(text)
    return (
        name in _WRAPPERS or not name or text.startswith(("-", "(", "[", "$"))
        or not any(map(str.isalnum, text)) or re.fullmatch(r"[0-9:.)]+[smhd]?", text) is not None
        or re.fullmatch(r"\S+[$#%>:~❯➜]|\S+@\S+", text) is not None
    )  # fmt: skip


def _cut_prose(texts: list[str], *, is_prose: bool) -> tuple[list[str], str]:
    """Return the words of the command and what follows it in a sentence.

    Raise _LeftOutError for a sentence that only names the command.
    """
    selector = any(text in ("-l", "--selector") or text.startswith("--selector=") for text in texts)
    needed = 2 if selector else 3  # verb, target, port
    seen, at = 0, 1
    ports: list[str] = []
    while at < len(texts):
        text = texts[at]
        if text.startswith("-") and len(text) > 1 and text != "--":
            option = text if text.startswith("--") else text[:2]
            at += 2 if option == text and takes_value(text) else 1
            continue
        seen += 1
        if seen >= needed:
            if ports and is_prose and not _PORT_LIKE.search(text):
                break
            ports.append(text)
        elif seen == 2:
            target = text
        at += 1
    bare = ports and not selector and "/" not in target
    if bare and not any(map(_PORT_LIKE.search, ports)):
        raise _LeftOutError(RemarkCode.NOT_UNDERSTOOD, value=" ".join(texts))
    kept = texts[:at]
    return (_trim(kept) if is_prose else kept), " ".join(texts[at:])


def _trim(texts: list[str]) -> list[str]:
    """Return words without the punctuation of a sentence at their end."""
    return [*texts[:-1], texts[-1].rstrip(".,;:!?)]}`'\"*")]


def _check_secrets(words: Sequence[Word]) -> None:
    for word in words:
        name, _, _ = word.text.partition("=")
        if name.startswith("--") and name[2:] in SECRET_OPTIONS:
            raise _LeftOutError(RemarkCode.SECRET_OPTION, value=name)


def _check_names(spec: ForwardSpec) -> None:
    target = spec.target
    if target.namespace and not _NAMESPACE.fullmatch(target.namespace):
        raise _LeftOutError(
            RemarkCode.INVALID, detail=f'"{target.namespace}" is not a valid namespace name'
        )
    texts = (target.context, target.name, describe_access_options(target.options))
    if not "".join(texts).isprintable():
        raise _LeftOutError(
            RemarkCode.INVALID, detail="context, selector or options have unprintable characters"
        )


def is_shell(name: str) -> bool:
    """Return whether a program runs text as commands."""
    return name.rpartition("/")[2] in _SHELLS


def prints_text(name: str) -> bool:
    """Return whether a program shows or writes its arguments and does not run them."""
    return name in _PRINTERS


def remote_program(words: Sequence[Word]) -> str:
    """Return the program at the head of a command that runs others on another machine."""
    for word in words:
        name = _program_name(word.text)
        if name in _REMOTE:
            return name
        if not (split_assignment(word) or name in _WRAPPERS):
            return name if is_kubectl(name) and any(w.text == "exec" for w in words) else ""
    return ""
