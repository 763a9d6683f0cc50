"""Loads, previews, applies and saves profiles for the dashboard.

The YAML library takes long to import: import this module when profiles are needed.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from tui_forward.common.bounded_file import may_exist
from tui_forward.common.formatting import pluralize
from tui_forward.common.user_folders import short_path
from tui_forward.daemon.profile_apply import apply_plan, plan_profile
from tui_forward.daemon.profile_preview import find_preview_facts
from tui_forward.errors import ConfigError, UsageError
from tui_forward.model import Forward, ForwardSpec, ProxyInfo, Target
from tui_forward.profiles.description import describe_exposure, describe_forwards
from tui_forward.profiles.parser import ProfileError, parse_profile
from tui_forward.profiles.plan import ApplyMode, Plan, forwards_of, make_plan, spec_with_bound_port
from tui_forward.profiles.preview import ShownContext, make_preview
from tui_forward.profiles.profile import Profile
from tui_forward.profiles.profile_names import find_name_problem
from tui_forward.profiles.proxy import bound_spec, find_proxy, split_saveable_proxies
from tui_forward.profiles.serializer import UNSAVEABLE_HINT, serialize_profile, split_saveable
from tui_forward.profiles.store import ProfileContent, ProfileFile, ProfileStore
from tui_forward.profiles.trust import TrustStore
from tui_forward.session import Session
from tui_forward.tui.screens.profile import ProfileView
from tui_forward.tui.viewmodel.picker_options import PickerOption
from tui_forward.tui.viewmodel.proxy_text import proxied_target, proxy_address
from tui_forward.tui.viewmodel.save_profile import ExistingProfile, SaveFacts

_DEPENDENCY_WAIT_S = 30.0  # for a forward to be ready that another one needs
_DEFAULT_EDITOR = "vi"


class ProfileEntry(msgspec.Struct, frozen=True):
    """A profile file, valid or not."""

    file: ProfileFile
    content: ProfileContent  # empty if it cannot be read
    profile: Profile | None  # None if the file is invalid
    error: ProfileError | None = None

    @property
    def name(self) -> str:
        """The profile's name, or the file's if it is invalid."""
        return self.profile.name if self.profile is not None else self.file.path.stem


class SavedProfile(msgspec.Struct, frozen=True):
    """A profile that was saved."""

    file: Path
    count: int  # forwards that were saved
    has_proxy: bool  # whether a proxy was saved
    left_out: Sequence[str]  # for each other forward and proxy, why it was not


class _Saveable(msgspec.Struct, frozen=True):
    """What of the active forwards and proxies a profile can have."""

    specs: Sequence[ForwardSpec]
    proxy: ProxyInfo | None
    left_out: Sequence[str]  # for each other one, why it cannot


class ProfileService:
    """Operations on profiles."""

    def __init__(self, session: Session, store: ProfileStore, trust: TrustStore) -> None:
        self._session = session
        self._store = store
        self._trust = trust

    async def load(self) -> dict[str, ProfileEntry]:
        """Return all profiles by path; raise ConfigError if the folder cannot be read."""
        return await asyncio.to_thread(self._load)

    def _load(self) -> dict[str, ProfileEntry]:
        return {str(file.path): self._read(file) for file in self._store.files()}

    @staticmethod
    def _read(file: ProfileFile) -> ProfileEntry:
        content = ProfileContent("", foreign="")
        try:
            content = file.content()
            profile = parse_profile(
                content.text, file.path, team=file.team, foreign=content.foreign
            )
            return ProfileEntry(file, content, profile)
        except ProfileError as error:
            return ProfileEntry(file, content, None, error)

    @staticmethod
    def options(
        entries: Mapping[str, ProfileEntry], forwards: Sequence[Forward],
        proxies: Sequence[ProxyInfo],
    ) -> list[PickerOption]:  # fmt: skip
        """Return an option of the picker for each profile."""
        options = []
        for key, entry in entries.items():
            if entry.profile is None:
                options.append(PickerOption(key, entry.name, "invalid"))
                continue
            active = _count_active(entry.profile, forwards, proxies)
            detail = pluralize(len(entry.profile.forwards), "forward")
            if entry.profile.proxy is not None:
                detail += ", a proxy"
            if active:
                detail += f", {active} active"
            if entry.file.team:
                detail += ", team"
            elif entry.content.foreign:
                detail += ", not yours"
            options.append(PickerOption(key, entry.name, detail, current=bool(active)))
        return options

    async def view(
        self, entry: ProfileEntry, forwards: Sequence[Forward], proxies: Sequence[ProxyInfo],
        shown_context: ShownContext,
    ) -> ProfileView:  # fmt: skip
        """Return the preview of a profile; TransportError if the engine process is gone."""
        profile, file = entry.profile, short_path(entry.file.path)
        if profile is None:
            problems = entry.error.problems if entry.error is not None else ()
            lines = [f"line {one.line}, column {one.column}: {one.message}" for one in problems]
            return ProfileView(entry.name, file, "Invalid profile:", lines, is_invalid=True)
        plans = {mode: make_plan(profile, forwards, mode, proxies) for mode in ApplyMode}
        facts = await find_preview_facts(self._session, plans.values())
        facts = replace(facts, shown_context=shown_context)
        untrusted = self._trust.needs_question(entry.file.path, entry.content)
        return ProfileView(
            name=profile.name,
            file=file,
            description=profile.description,
            lines=describe_forwards(profile) if untrusted else (),
            exposed=describe_exposure(profile),
            changes={mode: list(plan.lines()) for mode, plan in plans.items()},
            previews={
                mode: make_preview(profile, plan, forwards, facts) for mode, plan in plans.items()
            },
            starts={mode: _targets_of(plan) for mode, plan in plans.items()},
            active_count=_count_active(profile, forwards, proxies),
            untrusted_because=entry.content.foreign if untrusted else "",
        )

    async def apply(self, entry: ProfileEntry, mode: ApplyMode, shown: Sequence[str]) -> Plan:
        """Apply a valid profile whose changes the user has confirmed, and trust it.

        Forwards whose local port is used will be blocked. Raises UsageError and does nothing if the
        changes are not the ones shown; see `apply_plan`.
        """
        profile = entry.profile
        assert profile is not None
        plan = await plan_profile(
            self._session, profile, mode, allow_used_ports=True, with_proxy=True
        )
        if list(plan.lines()) != list(shown):
            raise UsageError(
                "aborted: active forwards have changed",
                hint=f"Open {entry.name} again to see its changes",
            )
        if entry.content.foreign:
            await asyncio.to_thread(self._trust.trust, entry.file.path, entry.content.text)
        has_dependencies = any(one.needs for one in profile.forwards)
        wait_s = _DEPENDENCY_WAIT_S if has_dependencies else None
        await apply_plan(self._session, profile, plan, wait_s=wait_s)
        return plan

    async def save_facts(
        self, forwards: Sequence[Forward], proxies: Sequence[ProxyInfo],
        shown_context: ShownContext,
    ) -> SaveFacts:  # fmt: skip
        """Return what saving all of these concerns; ConfigError if the folder is unreadable."""
        entries = await self.load()
        saveable = _find_saveable(forwards, proxies)
        specs, proxy = saveable.specs, saveable.proxy
        profiles = {spec.profile for spec in specs}
        if proxy is not None and not specs:
            profiles.add(proxy.spec.profile)
        existing: dict[str, ExistingProfile | None] = {}
        suggestion = ""
        for entry in entries.values():
            if entry.file.team:
                continue
            profile = entry.profile
            name = entry.file.path.stem
            if self._store.path_for(name) == entry.file.path:
                existing[name] = _describe_existing(profile) if profile is not None else None
                if profile is not None and profiles == {profile.id}:
                    suggestion = name
        clusters = [(spec.target.context, spec.target.options) for spec in specs]
        if proxy is not None:
            clusters.append((proxy.spec.context, proxy.spec.options))
        return SaveFacts(
            len(specs), tuple(dict.fromkeys(shown_context(*one) for one in clusters)),
            tuple(saveable.left_out), short_path(self._store.folder), existing, suggestion,
            proxy_address(proxy) if proxy is not None else "",
        )  # fmt: skip

    async def save(
        self, name: str, forwards: Sequence[Forward], proxies: Sequence[ProxyInfo]
    ) -> SavedProfile:
        """Save forwards and a proxy as a profile of the user; comments of an existing one stay.

        Those with a secret in their options are left out, and further proxies; UsageError if
        nothing is left. Raises ProfileError if the existing profile is invalid, ConfigError if the
        name is.
        """
        return await asyncio.to_thread(self._save, name, forwards, proxies)

    def _save(
        self, name: str, forwards: Sequence[Forward], proxies: Sequence[ProxyInfo]
    ) -> SavedProfile:
        if problem := find_name_problem(name):
            raise ConfigError(f'invalid profile name "{name}"', hint=problem)
        path = self._store.path_for(name)
        before = ProfileFile(path).text() if may_exist(path) else ""
        saveable = _find_saveable(forwards, proxies)
        specs, proxy, left_out = saveable.specs, saveable.proxy, saveable.left_out
        if left_out and not specs and proxy is None:
            raise UsageError(f"nothing was saved: {left_out[0]}", hint=UNSAVEABLE_HINT)
        spec = bound_spec(proxy) if proxy is not None else None
        self._store.write(path, serialize_profile(specs, path, before, spec))
        return SavedProfile(path, len(specs), proxy is not None, left_out)


def _find_saveable(forwards: Sequence[Forward], proxies: Sequence[ProxyInfo]) -> _Saveable:
    specs, others = split_saveable(map(spec_with_bound_port, forwards))
    left_out = [f"the forward to {spec.target} has {why}" for spec, why in others]
    proxy, other_proxies = split_saveable_proxies(proxies, specs)
    left_out += [f"the proxy {proxy_address(one)} {why}" for one, why in other_proxies]
    return _Saveable(specs, proxy, left_out)


def _describe_existing(profile: Profile) -> ExistingProfile:
    names = tuple(one.name for one in profile.forwards)
    return ExistingProfile(names, has_proxy=profile.proxy is not None)


def editor_command(environ: Mapping[str, str], path: Path) -> list[str]:
    """Return the command of $VISUAL or $EDITOR for a file; ConfigError if it cannot be parsed."""
    editor = environ.get("VISUAL") or environ.get("EDITOR") or _DEFAULT_EDITOR
    try:
        return [*shlex.split(editor), str(path)]
    except ValueError as error:
        raise ConfigError(f"cannot parse $EDITOR: {editor}", hint=str(error)) from error


def _count_active(
    profile: Profile, forwards: Sequence[Forward], proxies: Sequence[ProxyInfo]
) -> int:
    """Return how many forwards and proxies of a profile are active."""
    has_proxy = find_proxy(profile.id, profile.proxy, proxies) is not None
    return len(forwards_of(profile, forwards)) + has_proxy


def _targets_of(plan: Plan) -> list[Target]:
    """Return the targets that a plan starts something to."""
    targets = [one.spec.target for one in plan.to_start]
    if (spec := plan.proxy) is not None:
        targets.append(proxied_target(spec.context, spec.namespace, spec.options))
    return targets
