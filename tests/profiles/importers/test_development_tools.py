"""Configurations of Skaffold and DevSpace: every entry is imported, or named with its line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.profiles.importers.test_importer import Case, describe
from tui_forward.profiles.importers.command_reader import ReadOptions
from tui_forward.profiles.importers.findings import describe_remark
from tui_forward.profiles.importers.importer import NothingToImportError, import_forwards
from tui_forward.profiles.parser import parse_profile
from tui_forward.profiles.serializer import serialize_profile

SKAFFOLD = """\
apiVersion: skaffold/v4beta13
kind: Config
metadata: {name: shop}
deploy:
  kubeContext: kind-dev
  kubectl: {defaultNamespace: shop}
portForward:
- resourceType: service
  resourceName: web
  port: 80
  localPort: 8080
- resourceType: Deployment   # the kind in any case
  resourceName: api
  namespace: back
  port: http
  localPort: 9000
  address: 0.0.0.0
- {resourceType: pod, resourceName: echo, port: 7000}
- resourceType: StatefulSet
  resourceName: db
  namespace: "{{.DB_NAMESPACE}}"
  port: 5432
- resourceType: Container
  resourceName: redis
  port: 6379
- resourceType: CronJob
  resourceName: nightly
  port: 80
- resourceType: service
  resourceName: web
- resourceType: service
  resourceName: Web_1
  port: 80
- just a text
- null
profiles:
- name: debug
  portForward:
  - {resourceType: service, resourceName: debugger, port: 5005}
  patches:
  - op: add
    path: /portForward/-
    value: {resourceType: service, resourceName: more, port: 80}
  - {op: replace, path: /build/artifacts/0/image, value: x}
"""
SKAFFOLD_MODULES = """\
apiVersion: skaffold/v2beta29
kind: Config
portForward:
  - resourceType: service
    resourceName: a
    port: 80
---
apiVersion: skaffold/v1
kind: Config
deploy: {kubectl: {}}
portForward:
  - resourceType: job
    resourceName: b
    namespace: jobs
    port: 8080
    localPort: 8080
---
apiVersion: v1
kind: ConfigMap
portForward: [{resourceName: c, port: 1}]
"""
DEVSPACE = """\
version: v2beta1
name: shop
dev:
  app:
    labelSelector:
      app.kubernetes.io/name: web
      tier: front
    namespace: shop
    ports:
      - port: "8080:80"
      - port: 9090
      - port: "8443:https"
        bindAddress: 127.0.0.5
    reversePorts:
      - port: "9229:9229"
  api:
    imageSelector: registry.example/api
    ports:
      - port: "8081:80"
  db:
    labelSelector: {app: db}
    namespace: ${DB_NAMESPACE}
    ports:
      - port: "5432"
    containers:
      main:
        reversePorts:
          - port: "5005"
  bare:
    ports:
      - port: "1:2"
  broken:
    labelSelector: {app: broken}
    ports:
      - port: "1:2:3"
      - port: eighty:80
      - nothing
profiles:
  - name: debug
    patches:
      - op: add
        path: dev.app.ports
        value: {port: "40000"}
      - {op: add, path: dev.app.sync, value: {path: .}}
    merge:
      dev:
        app:
          ports:
            - port: "5005"
"""
DEVSPACE_5 = """\
version: v1beta11
dev:
  ports:
    - name: web
      labelSelector: {app: web}
      forward:
        - port: 8080
          remotePort: 80
        - port: 9090
          bindAddress: 0.0.0.0
      reverseForward:
        - port: 9229
          remotePort: 9229
    - imageSelector: image(api)
      namespace: shop
      forward:
        - port: 8081
          remotePort: 80
  sync:
    - labelSelector: {app: web}
"""

CASES = [
    Case(
        "Skaffold",
        SKAFFOLD,
        [
            "8 kind-dev|shop/svc/web:80 8080",
            "12 kind-dev|back/deploy/api:http 9000 0.0.0.0",
            "18 kind-dev|shop/pod/echo:7000 None",
        ],
        [
            (19, "variable"), (23, "not_a_pod"), (26, "invalid"), (29, "invalid"), (31, "invalid"),
            (34, "not_an_entry"), (35, "not_an_entry"), (39, "profile"), (41, "profile"),
        ],
    ),
    Case("Skaffold modules", SKAFFOLD_MODULES, ["4 /svc/a:80 None", "12 jobs/job/b:8080 8080"]),
    Case(
        "DevSpace",
        DEVSPACE,
        [
            "10 shop/-l app.kubernetes.io/name=web,tier=front:80 8080",
            "11 shop/-l app.kubernetes.io/name=web,tier=front:9090 None",
            "12 shop/-l app.kubernetes.io/name=web,tier=front:https 8443 127.0.0.5",
        ],
        [
            (15, "reverse"), (19, "no_labels"), (24, "variable"), (28, "reverse"),
            (31, "no_labels"), (35, "invalid"), (36, "invalid"), (37, "not_an_entry"),
            (41, "profile"), (49, "profile"),
        ],
    ),
    Case(
        "DevSpace 5",
        DEVSPACE_5,
        ["7 /-l app=web:80 8080", "9 /-l app=web:9090 None 0.0.0.0"],
        [(12, "reverse"), (17, "no_labels")],
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_configurations(case: Case) -> None:
    result = import_forwards(case.text)
    assert describe(result) == case.found
    assert [(one.line, str(one.code)) for one in result.left_out] == case.left_out
    file = Path("x.yaml")
    assert parse_profile(serialize_profile(result.specs, file), file).forwards


def test_values_of_variables_are_filled_in() -> None:
    options = ReadOptions(values={"DB_NAMESPACE": "data", ".DB_NAMESPACE": "data"})
    assert "19 kind-dev|data/sts/db:5432 None" in describe(import_forwards(SKAFFOLD, options))
    assert "24 data/-l app=db:5432 None" in describe(import_forwards(DEVSPACE, options))


def test_reasons_are_sentences() -> None:
    remarks = [
        describe_remark(one)
        for text in (SKAFFOLD, DEVSPACE)
        for one in import_forwards(text).left_out
    ]
    for expected in (
        "line 23 (redis): left out: a container of Docker is not a forward to a pod",
        "line 39 (debugger): left out: it belongs to the profile debug, which is not always active",
        "line 15 (app): left out: it forwards from the pod to this machine (port 9229:9229)",
        "line 19 (api): left out: its pods are not chosen by labels (imageSelector "
        "registry.example/api)",
    ):
        assert expected in remarks


@pytest.mark.parametrize(
    "text",
    [
        "apiVersion: skaffold/v4beta13\nkind: Config\n",
        "apiVersion: apps/v1\nportForward: [{resourceName: a, port: 80}]\n",
        "version: v2beta1\ndev: {}\nports: []\n",
        "version: '3'\ndev: {app: {ports: [{port: '8080:80'}]}}\n",
    ],
)
def test_other_files_are_not_mistaken(text: str) -> None:
    with pytest.raises(NothingToImportError):
        import_forwards(text)


_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-1, 70000), st.sampled_from(["a", "8080:80"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                ["dev", "ports", "forward", "port", "labelSelector", "portForward", "profiles",
                 "resourceName", "resourceType", "deploy", "containers", "patches", "path"]
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)  # fmt: skip


@given(_VALUES, st.sampled_from(["apiVersion: skaffold/v1", "version: v2beta1"]))
def test_any_structure_is_read_or_refused(value: object, head: str) -> None:
    text = f"{head}\nportForward: {json.dumps(value)}\ndev: {json.dumps(value)}\n"
    try:
        result = import_forwards(text)
    except NothingToImportError:
        return
    assert result.found == len(result.specs) + len(result.left_out)
