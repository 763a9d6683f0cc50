"""The files of the kubeconfig, and what each of them has; reads them."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from tui_forward.common.formatting import pluralize
from tui_forward.common.user_folders import expand_home, home_dir, kubeconfig_list, short_path
from tui_forward.errors import ConfigError
from tui_forward.tui.storage.context_choice import ContextChoice, KubeconfigFile


def context_choice(
    reason: str, namespace: str | None, kubeconfig: str | None, environ: Mapping[str, str],
    hint: str = "",
) -> ContextChoice:  # fmt: skip
    """Return the choice of a context, with what is wrong with each file. Blocks."""
    value = environ.get("KUBECONFIG", "")
    paths: tuple[Path, ...]
    if kubeconfig:
        source, paths = "--kubeconfig", (expand_home(kubeconfig),)
    elif listed := kubeconfig_list(value):
        source, paths = f"KUBECONFIG={value}", listed
    else:
        source, paths = "KUBECONFIG is not set", (home_dir() / ".kube" / "config",)
    files = tuple(KubeconfigFile(short_path(path), describe_file(path)) for path in paths)
    has_demo = importlib.util.find_spec("grpc") is not None
    again = partial(context_choice, reason, namespace, kubeconfig, environ, hint)
    return ContextChoice(reason, namespace, source, files, has_demo, hint, again)


def describe_file(path: Path) -> str:
    """Return `file not found`, `2 contexts, current-context is empty`, or why it is invalid."""
    from tui_forward.kube.kubeconfig import schema

    try:
        parsed = schema.read(path)
    except ConfigError as error:
        return error.message.replace(str(path), path.name)
    if parsed is None:
        return "file not found"
    names = [one.name for one, _ in parsed.contexts]
    what = pluralize(len(names), "context") if names else "no contexts"
    current = parsed.current_context
    if not current:
        return f"{what}, current-context is empty"
    missing = "" if current in names else ", which it does not have"
    return f"{what}, current-context is {current}{missing}"
