"""Test of the target: which pod and port it leads to now, and why to none."""

from __future__ import annotations

import contextlib
import shlex
import time
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote, urlencode

from msgspec.structs import replace

from tui_forward.catalog.label_selector import parse_selector
from tui_forward.catalog.target_resolution import (
    resolve_pod,
    resolve_selected,
    selectorless,
    target_not_found,
)
from tui_forward.errors import ApiError, ForwardError, TuiForwardError
from tui_forward.kube.api.details import decode_warnings
from tui_forward.kube.api.resources import (
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    PODS,
    SERVICES,
    STATEFULSETS,
    WORKLOADS,
    Item,
    Resource,
)
from tui_forward.model import (
    DeclaredPort,
    DoctorHop,
    Pod,
    PodRef,
    PortProtocol,
    Reason,
    ReasonCode,
    Resolution,
    Resolved,
    Service,
    Target,
    TargetKind,
    Unresolved,
    Workload,
)
from tui_forward.session.doctor.api_connection import ApiConnection
from tui_forward.session.doctor.chain import Chain
from tui_forward.session.doctor.findings import Finding, fault, good, note
from tui_forward.session.doctor.similar_names import (
    find_missing_namespace,
    find_similar,
    object_names,
)

_HOP: Final = DoctorHop.TARGET
_MAX_LISTED: Final = 3
# What users may mean who give a name without its kind.
_OWNERS: Final[dict[TargetKind, Resource[Any]]] = {
    TargetKind.DEPLOYMENT: DEPLOYMENTS,
    TargetKind.STATEFULSET: STATEFULSETS,
    TargetKind.SERVICE: SERVICES,
}
_MAX_ENDPOINT_PODS: Final = 20
# Of which the kubelet tells the cause in events only.
_EXPLAINED_BY_EVENTS: Final = frozenset({
    ReasonCode.POD_CREATING, ReasonCode.POD_NOT_READY, ReasonCode.POD_NOT_RUNNING,
})  # fmt: skip


async def check_target(chain: Chain) -> Finding:
    """Find the pod and the port that a forward would use now."""
    asked = chain.query.target
    assert asked is not None
    target = replace(asked, namespace=chain.namespace)
    tried = f"find a pod for {_name(target)} in namespace {target.namespace}"
    try:
        return await _TargetSearch(chain, target, tried).run()
    except TuiForwardError as error:
        return fault(_HOP, tried, error.reason)


class _TargetSearch:
    """Reads what a target selects, and resolves it as a forward does."""

    def __init__(self, chain: Chain, target: Target, tried: str) -> None:
        assert chain.api is not None
        self._chain = chain
        self._api: ApiConnection = chain.api
        self._target = target
        self._tried = tried
        self._pods: tuple[Pod, ...] = ()

    async def run(self) -> Finding:
        kind = self._target.kind
        anchor: Service | Workload | None = None
        if kind is TargetKind.POD:
            return await self._run_pod()
        if kind is TargetKind.SERVICE:
            anchor = await self._find(SERVICES)
        elif kind is TargetKind.SELECTOR:
            parse_selector(self._target.name)
        else:
            anchor = await self._find(WORKLOADS[kind])
        if anchor is None and kind is not TargetKind.SELECTOR:
            return await self._missing()
        selector = anchor.selector if anchor is not None else self._target.name
        if selector:
            self._pods = await self._list_pods(selector)
        elif isinstance(anchor, Service) and not anchor.external_name:
            self._pods = await self._endpoint_pods()
        if not selector and not self._pods:
            return await self._unusable(self._explain_selectorless(anchor))
        if isinstance(anchor, Service) or self._pods:
            self._choose_port(anchor.ports if isinstance(anchor, Service) else self._declared())
        resolution = resolve_selected(self._target, anchor, self._pods, now=time.time())
        return await self._judge(resolution)

    async def _run_pod(self) -> Finding:
        try:
            pod = await self._find(PODS)
        except ApiError as error:
            if not error.forbidden or not self._target.port.isdecimal():
                raise
            return self._use_unread(error)
        if pod is None:
            return await self._missing()
        self._pods = (pod,)
        self._choose_port(pod.ports)
        return await self._judge(resolve_pod(self._target, pod, now=time.time()))

    def _use_unread(self, error: ApiError) -> Finding:
        """Return that a pod that the user may not read is used by its name."""
        target = self._target
        self._chain.target = target
        ref = PodRef(namespace=target.namespace, name=target.name, uid="")
        self._chain.resolution = Resolved(pod=ref, port=int(target.port), ready=False)
        fact = "the pod is used by its name, whatever its state is"
        return note(_HOP, self._tried, error.reason, fact)

    # Reading --------------------------------------------------------------------------

    async def _find(self, resource: Resource[Item]) -> Item | None:
        """Return the object that the target names; None if it does not exist."""
        namespace, name = self._target.namespace, self._target.name
        what = resource.describe("get", namespace, name)
        try:
            found: Item = await self._api.get(resource.path(namespace, name), what, resource.decode)
        except ApiError as error:
            if error.not_found:
                return None
            if not error.forbidden:
                raise
            return await self._find_in_list(resource)
        return found

    async def _find_in_list(self, resource: Resource[Item]) -> Item | None:
        """Return the object for a user who may list but not get."""
        namespace, name = self._target.namespace, self._target.name
        what = resource.describe("list", namespace)
        found = await self._api.list(
            resource, namespace, what, fieldSelector=f"metadata.name={name}"
        )
        return found[0] if found else None

    async def _list_pods(self, selector: str) -> tuple[Pod, ...]:
        namespace = self._target.namespace
        what = PODS.describe("list", namespace)
        return await self._api.list(PODS, namespace, what, labelSelector=selector)

    async def _endpoint_pods(self) -> tuple[Pod, ...]:
        """Return the pods behind a service without a selector."""
        namespace, name = self._target.namespace, self._target.name
        what = ENDPOINT_SLICES.describe("list", namespace)
        slices = await self._api.list(
            ENDPOINT_SLICES, namespace, what, labelSelector=f"kubernetes.io/service-name={name}"
        )
        self._endpoint_addresses = [one.address for each in slices for one in each.endpoints]
        names = dict.fromkeys(one.pod for each in slices for one in each.endpoints if one.pod)
        pods = []
        for pod_name in list(names)[:_MAX_ENDPOINT_PODS]:
            what = PODS.describe("get", namespace, pod_name)
            pods.append(await self._api.get(PODS.path(namespace, pod_name), what, PODS.decode))
        return tuple(pods)

    def _explain_selectorless(self, anchor: Service | Workload | None) -> Reason:
        addresses = getattr(self, "_endpoint_addresses", None)
        resolution = selectorless(self._target, anchor)
        if addresses is None:
            return resolution.reason
        if not addresses:
            code = ReasonCode.TARGET_NO_ENDPOINTS
            return Reason(
                code=code, object=_name(self._target), name=self._target.name,
                namespace=self._target.namespace,
            )  # fmt: skip
        listed = ", ".join(addresses[:_MAX_LISTED])
        code = ReasonCode.TARGET_ENDPOINTS_NOT_PODS
        return Reason(code=code, object=_name(self._target), detail=listed)

    # Judging --------------------------------------------------------------------------

    async def _missing(self) -> Finding:
        """Return why there is no such object: the namespace, or a name that is similar."""
        target = self._target
        missing = await find_missing_namespace(self._api, target.namespace)
        if missing is not None:
            return fault(_HOP, self._tried, missing)
        reason = target_not_found(target).reason
        resource: Resource[Any] = PODS
        if target.kind is TargetKind.SERVICE:
            resource = SERVICES
        elif target.kind in WORKLOADS:
            resource = WORKLOADS[target.kind]
        names = await object_names(self._api, resource, target.namespace)
        similar = find_similar(target.name, names)
        if target.kind is TargetKind.POD and (owner := await self._owner_of_this_name()):
            similar = [owner]
        hint = f"Did you mean {', '.join(similar)}?" if similar else ""
        elsewhere = await self._namespaces_with(resource) if not similar else ()
        if elsewhere:
            hint = f"There is one in namespace {', '.join(elsewhere)}: add -n {elsewhere[0]}"
        elif not similar and names:
            hint = f"Choose one of {', '.join(sorted(names)[:8])}"
        return fault(_HOP, self._tried, replace(reason, hint=hint or "Check the name"))

    async def _owner_of_this_name(self) -> str:
        """Return the workload or service that has the name of the pod; empty without one."""
        namespace, name = self._target.namespace, self._target.name
        for kind, resource in _OWNERS.items():
            with contextlib.suppress(ApiError):
                what = resource.describe("get", namespace, name)
                await self._api.get(resource.path(namespace, name), what)
                return f"{kind}/{name}"
        return ""

    async def _namespaces_with(self, resource: Resource[Any]) -> tuple[str, ...]:
        """Return other namespaces that have an object of this name."""
        try:
            what = resource.describe("list")
            selector = f"metadata.name={self._target.name}"
            found = await self._api.list(resource, "", what, fieldSelector=selector)
        except ApiError:
            return ()
        names = (getattr(one, "namespace", "") for one in found)
        return tuple(sorted({name for name in names if name}))[:_MAX_LISTED]

    def _declared(self) -> tuple[DeclaredPort, ...]:
        return tuple(port for pod in self._pods for port in pod.ports)

    def _choose_port(self, declared: Sequence[DeclaredPort]) -> None:
        """Choose the first TCP port if the query names none; ForwardError without any."""
        if not self._target.port:
            first = next((one for one in declared if one.protocol is PortProtocol.TCP), None)
            if first is None:
                raise ForwardError(
                    Reason(
                        code=ReasonCode.PORT_UNKNOWN_NUMBER,
                        object=_name(self._target),
                        text=f"{_name(self._target)} declares no TCP port that could be tested",
                        hint="Name the port behind the target",
                    )
                )
            self._target = replace(self._target, port=str(first.number))
        self._chain.target = self._target

    async def _judge(self, resolution: Resolution) -> Finding:
        if isinstance(resolution, Unresolved):
            return await self._unusable(resolution.reason)
        chain, target = self._chain, self._target
        chain.resolution = resolution
        pod = next(one for one in self._pods if one.name == resolution.pod.name)
        facts = [describe_pod(pod), describe_port(resolution, pod)]
        if len(self._pods) > 1:
            ready = sum(one.ready for one in self._pods)
            facts.append(f"{ready} of {len(self._pods)} pods are ready")
        if resolution.caution is not None:
            reason = replace(resolution.caution, namespace=target.namespace)
            return note(_HOP, self._tried, await self._with_event(reason), *facts)
        declared = [one for one in pod.ports if one.number == resolution.port]
        if not declared and pod.ports and target.port.isdecimal():
            numbers = tuple(
                dict.fromkeys(
                    str(one.number) for one in pod.ports if one.protocol is PortProtocol.TCP
                )
            )
            undeclared = Reason(
                code=ReasonCode.PORT_NOT_DECLARED, pod=pod.name, port=str(resolution.port),
                available=numbers,
            )  # fmt: skip
            return note(_HOP, self._tried, undeclared, *facts)
        return good(_HOP, self._tried, *facts)

    async def _unusable(self, reason: Reason) -> Finding:
        reason = replace(reason, namespace=reason.namespace or self._target.namespace)
        if reason.code is ReasonCode.TARGET_NO_MATCHING_PODS:
            namespace = shlex.quote(self._target.namespace)
            hint = (
                "Compare its selector with the labels of the pods: "
                f"kubectl get pods -n {namespace} --show-labels"
            )
            reason = replace(reason, hint=hint)
        facts = [describe_pod(pod) for pod in self._pods[:_MAX_LISTED]]
        return fault(_HOP, self._tried, await self._with_event(reason), *facts)

    async def _with_event(self, reason: Reason) -> Reason:
        """Return a reason with what the latest warning of its pod tells, if it has no detail."""
        pod = next((one for one in self._pods if one.name == reason.pod), None)
        if pod is None or reason.detail or reason.code not in _EXPLAINED_BY_EVENTS:
            return reason
        selector = f"involvedObject.name={pod.name},involvedObject.uid={pod.uid},type=Warning"
        query = urlencode({"fieldSelector": selector, "limit": 50})
        path = f"/api/v1/namespaces/{quote(pod.namespace, safe='')}/events?{query}"
        try:
            warnings = await self._api.get(path, "list events", decode_warnings)
        except TuiForwardError:
            return reason  # what the user may not read is left out
        return replace(reason, detail=warnings[0].message) if warnings else reason


def describe_pod(pod: Pod) -> str:
    """Return a pod in a few words."""
    ready = f"{pod.containers_ready}/{pod.containers_total} ready"
    restarts = f", {pod.restarts} restarts" if pod.restarts else ""
    node = f" on {pod.node}" if pod.node else ""
    return f"pod {pod.name}: {pod.status or pod.phase}, {ready}{restarts}{node}"


def describe_port(resolution: Resolved, pod: Pod) -> str:
    """Return which port of the pod is meant, and who declares it."""
    declared = next((one for one in pod.ports if one.number == resolution.port), None)
    service = resolution.service_port
    via = f"service port {service} leads to " if service is not None else ""
    name = f" ({declared.name})" if declared is not None and declared.name else ""
    container = f" of container {declared.container}" if declared is not None else ""
    return f"{via}port {resolution.port}{name}{container}"


def _name(target: Target) -> str:
    return (
        f"-l {target.name}"
        if target.kind is TargetKind.SELECTOR
        else (f"{target.kind}/{target.name}")
    )
