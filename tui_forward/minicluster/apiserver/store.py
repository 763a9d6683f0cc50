"""Every object of the cluster, its versions, and the history that watches are fed from.

The store is etcd and the watch cache in one: a version counter shared by all resources, for
each resource the objects sorted by key, and a bounded history of changes. It belongs to one
event loop; nothing in it waits.

Objects are kept as their encoded JSON (without `kind` and `apiVersion`, as lists print them):
a list of ten thousand pods is then one join, a watch event one concatenation. Whoever needs to
look inside decodes a private copy.

Older versions of a list are not stored; they are found by undoing the history, so that a
`continue` token and an exact list live exactly as long as the watch history does.
"""

from __future__ import annotations

import contextlib
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import msgspec

from tui_forward.minicluster.apiserver.journal import Journal
from tui_forward.minicluster.apiserver.resources import BY_PATH, RESOURCES, Resource

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(dict[str, Any]).decode

ADDED: Final = "ADDED"
MODIFIED: Final = "MODIFIED"
DELETED: Final = "DELETED"


class _Owner(msgspec.Struct):
    uid: str
    controller: bool = False


class _Meta(msgspec.Struct):
    name: str
    uid: str = ""
    namespace: str = ""
    labels: dict[str, str] | None = None
    owners: list[_Owner] = msgspec.field(name="ownerReferences", default_factory=list)
    deletion: str = msgspec.field(name="deletionTimestamp", default="")


class _Spec(msgspec.Struct):
    node: str = msgspec.field(name="nodeName", default="")


class _Envelope(msgspec.Struct):
    metadata: _Meta
    spec: _Spec | None = None


_decode_envelope = msgspec.json.Decoder(_Envelope).decode


class _Shallow(msgspec.Struct):
    metadata: msgspec.Raw


_decode_shallow = msgspec.json.Decoder(_Shallow).decode


def key_of(namespace: str, name: str) -> str:
    """Where an object is kept; sorts by namespace, then name."""
    return f"{namespace}/{name}" if namespace else name


class Item:
    """One version of one object; never changes.

    Attributes:
        raw: The object's JSON without `kind` and `apiVersion`.
        owners: UIDs of its owners.
        controller: UID of the owner that controls it, or empty.
        deleting: Whether its deletion has begun.
        node: `spec.nodeName`, of a pod.
    """

    __slots__ = (
        "_fields",
        "controller",
        "deleting",
        "key",
        "labels",
        "name",
        "namespace",
        "node",
        "owners",
        "raw",
        "resource",
        "uid",
        "version",
    )

    def __init__(self, resource: Resource, version: int, raw: bytes) -> None:
        envelope = _decode_envelope(raw)
        meta = envelope.metadata
        self.resource = resource
        self.version = version
        self.raw = raw
        self.namespace = meta.namespace
        self.name = meta.name
        self.uid = meta.uid
        self.labels = meta.labels or {}
        self.owners = tuple(owner.uid for owner in meta.owners)
        self.controller = next((owner.uid for owner in meta.owners if owner.controller), "")
        self.deleting = bool(meta.deletion)
        self.node = envelope.spec.node if envelope.spec is not None else ""
        self.key = key_of(meta.namespace, meta.name)
        self._fields: dict[str, str] | None = None

    def copy(self) -> dict[str, Any]:
        """A decoded copy that the caller may change."""
        return decode(self.raw)

    @property
    def fields(self) -> dict[str, str]:
        """What field selectors can select by."""
        fields = self._fields
        if fields is None:
            fields = {"metadata.name": self.name, "metadata.namespace": self.namespace}
            if self.resource.fields:
                item = self.resource.partial(self.raw)
                fields |= {label: get(item) for label, get in self.resource.fields.items()}
            self._fields = fields
        return fields

    @property
    def raw_metadata(self) -> bytes:
        """The JSON of its metadata."""
        return bytes(_decode_shallow(self.raw).metadata)

    def whole(self) -> bytes:
        """The object's JSON with `kind` and `apiVersion`."""
        return self.resource.prefix + self.raw[1:]


class Change:
    """One change of one object.

    Attributes:
        before: What it replaced; None for an ADDED.
        item: The new version; of a DELETED the last state, with the deletion's version.
    """

    __slots__ = ("_line", "before", "item", "type")

    def __init__(self, kind: str, item: Item, before: Item | None) -> None:
        self.type = kind
        self.item = item
        self.before = before
        self._line: bytes | None = None

    @property
    def version(self) -> int:
        """The version this change made."""
        return self.item.version

    @property
    def line(self) -> bytes:
        """The change as a watch prints it; encoded once for all watchers."""
        if self._line is None:
            self._line = watch_line(self.type, self.item)
        return self._line


def watch_line(kind: str, item: Item) -> bytes:
    """One line of a watch."""
    return b'{"type":"%b","object":%b}\n' % (kind.encode(), item.whole())


Listener = Callable[[Change], None]


class Table:
    """The objects of one resource, and their history."""

    def __init__(self, resource: Resource, history: int) -> None:
        self.resource = resource
        self.items: dict[str, Item] = {}
        self.keys: list[str] = []
        self.changes: deque[Change] = deque(maxlen=history)
        self.listeners: list[Listener] = []
        # The newest version that has fallen out of the history: what is older than this
        # cannot be watched from any more.
        self.compacted = 0

    def remember(self, change: Change) -> None:
        """Append to the history."""
        if len(self.changes) == self.changes.maxlen:
            self.compacted = self.changes[0].version
        self.changes.append(change)

    def range(self, namespace: str) -> tuple[int, int]:
        """Where the keys of a namespace lie; of everything for an empty one."""
        if not namespace:
            return 0, len(self.keys)
        return (
            bisect_left(self.keys, f"{namespace}/"),
            bisect_left(self.keys, f"{namespace}0"),  # "0" follows "/"
        )


class Store:
    """See the module.

    Args:
        history: How many changes of each resource are remembered.
        journal: Keeps every change on disk; None keeps nothing.
        first_version: The version counter of an empty store.
    """

    def __init__(
        self, *, history: int = 4096, journal: Journal | None = None, first_version: int = 1
    ) -> None:
        self.version = first_version
        self.tables = {resource: Table(resource, history) for resource in RESOURCES}
        self._journal = journal
        if journal is not None:
            self._recover(journal)

    def _recover(self, journal: Journal) -> None:
        for version, path, key, raw in journal.replay():
            self.version = max(self.version, version)
            resource = BY_PATH.get(_split_path(path))
            if resource is None:
                continue
            if raw:
                self.tables[resource].items[key] = Item(resource, version, raw)
            else:
                self.tables[resource].items.pop(key, None)
        for table in self.tables.values():
            table.keys = sorted(table.items)
            table.compacted = self.version
        journal.rewrite(self._everything(), self.version)

    def _everything(self) -> Iterator[tuple[int, str, str, bytes]]:
        for table in self.tables.values():
            path = _join_path(table.resource)
            for item in table.items.values():
                yield item.version, path, item.key, item.raw

    @property
    def empty(self) -> bool:
        """Whether no object exists."""
        return not any(table.items for table in self.tables.values())

    # -- reading ---------------------------------------------------------------------------

    def get(self, resource: Resource, namespace: str, name: str) -> Item | None:
        """The newest version of one object."""
        return self.tables[resource].items.get(key_of(namespace, name))

    def all(self, resource: Resource, namespace: str = "") -> list[Item]:
        """The newest versions of all objects, sorted."""
        table = self.tables[resource]
        first, last = table.range(namespace)
        items = table.items
        return [items[key] for key in table.keys[first:last]]

    def at(self, resource: Resource, version: int, namespace: str, start: str) -> list[Item] | None:
        """The objects of a version, sorted, from key `start` on; None when it is forgotten."""
        table = self.tables[resource]
        if version < table.compacted:
            return None
        first, last = table.range(namespace)
        if start:
            first = max(first, bisect_left(table.keys, start))
        keys: Iterable[str] = table.keys[first:last]
        undone: dict[str, Item | None] = {}
        for change in reversed(table.changes):
            if change.version <= version:
                break
            key = change.item.key
            if key >= start and (not namespace or change.item.namespace == namespace):
                undone[key] = change.before
        items = table.items
        if not undone:
            return [items[key] for key in keys]
        merged = sorted({*keys, *undone})
        found = (undone[key] if key in undone else items[key] for key in merged)
        return [item for item in found if item is not None]

    def since(self, resource: Resource, version: int) -> list[Change] | None:
        """All changes after a version, oldest first; None when some are forgotten."""
        table = self.tables[resource]
        if version < table.compacted:
            return None
        changes: list[Change] = []
        for change in reversed(table.changes):
            if change.version <= version:
                break
            changes.append(change)
        changes.reverse()
        return changes

    def listen(self, resource: Resource, listener: Listener) -> Callable[[], None]:
        """Call `listener` with every change, in order, until the returned function is called.

        Listeners run inside the change: they must be quick, raise nothing, and change
        nothing themselves.
        """
        listeners = self.tables[resource].listeners
        listeners.append(listener)

        def stop() -> None:
            with contextlib.suppress(ValueError):
                listeners.remove(listener)

        return stop

    # -- writing ---------------------------------------------------------------------------

    def put(self, resource: Resource, item: dict[str, Any]) -> Item:
        """Create or replace an object; sets its `resourceVersion`."""
        metadata = item["metadata"]
        version = self.version + 1
        metadata["resourceVersion"] = str(version)
        new = Item(resource, version, encode(_ordered(item)))
        self._store(new)
        return new

    def put_raw(self, resource: Resource, raw: bytes) -> Item:
        """Create or replace an object whose JSON holds version `version + 1` already."""
        new = Item(resource, self.version + 1, raw)
        self._store(new)
        return new

    def _store(self, new: Item) -> None:
        table = self.tables[new.resource]
        before = table.items.get(new.key)
        self.version = new.version
        table.items[new.key] = new
        if before is None:
            insort(table.keys, new.key)
        self._changed(table, Change(MODIFIED if before else ADDED, new, before), new.raw)

    def remove(self, resource: Resource, namespace: str, name: str) -> Item | None:
        """Delete an object; gives its last state with the deletion's version."""
        table = self.tables[resource]
        before = table.items.pop(key_of(namespace, name), None)
        if before is None:
            return None
        del table.keys[bisect_left(table.keys, before.key)]
        self.version += 1
        last = before.copy()
        last["metadata"]["resourceVersion"] = str(self.version)
        gone = Item(resource, self.version, encode(last))
        self._changed(table, Change(DELETED, gone, before), b"")
        return gone

    def _changed(self, table: Table, change: Change, raw: bytes) -> None:
        if self._journal is not None:
            self._journal.append(change.version, _join_path(table.resource), change.item.key, raw)
            if self._journal.wasteful:
                self._journal.rewrite(self._everything(), self.version)
        table.remember(change)
        for listener in tuple(table.listeners):
            listener(change)

    @contextlib.contextmanager
    def bulk(self) -> Iterator[None]:
        """Keep the journal still while much is written; it is rewritten once at the end.

        What was written inside is lost if the process ends before.
        """
        journal, self._journal = self._journal, None
        try:
            yield
        finally:
            self._journal = journal
            if journal is not None:
                journal.rewrite(self._everything(), self.version)

    def compact(self) -> None:
        """Forget the history of every resource."""
        for table in self.tables.values():
            table.changes.clear()
            table.compacted = self.version


def _ordered(item: dict[str, Any]) -> dict[str, Any]:
    """The object as lists print it: metadata first, no kind, no apiVersion."""
    rest = {k: v for k, v in item.items() if k not in ("kind", "apiVersion", "metadata")}
    return {"metadata": _ordered_metadata(item["metadata"]), **rest}


_METADATA_ORDER = (
    "name",
    "generateName",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
    "managedFields",
)


def _ordered_metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    ordered = {name: metadata[name] for name in _METADATA_ORDER if metadata.get(name) is not None}
    for empty in ("labels", "annotations", "ownerReferences", "finalizers"):
        if not ordered.get(empty, True):
            del ordered[empty]
    return ordered


def _join_path(resource: Resource) -> str:
    return f"{resource.group}/{resource.version}/{resource.plural}"


def _split_path(path: str) -> tuple[str, str, str]:
    group, version, plural = path.split("/")
    return group, version, plural
