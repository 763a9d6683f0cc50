"""The objects of the cluster, their versions, and the history that watches read.

The store combines etcd and the watch cache: a version counter shared by all resources, the
objects of each resource sorted by key, and a bounded history of changes. It belongs to one event
loop and never blocks.

Objects are stored as encoded JSON (without `kind` and `apiVersion`, as in lists), so that a list
of ten thousand pods is one join and a watch event one concatenation. Code that reads an object's
fields decodes a private copy.

Older versions of a list are not stored but computed by undoing the history, so a `continue` token
and an exact list are valid as long as the watch history.
"""

from __future__ import annotations

import contextlib
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec

from tui_forward.minicluster.apiserver.journal import Journal
from tui_forward.minicluster.apiserver.resources import BY_PATH, RESOURCES, Object, Resource

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Object).decode

ADDED: Final = "ADDED"
MODIFIED: Final = "MODIFIED"
DELETED: Final = "DELETED"


class _Owner(msgspec.Struct):
    uid: str
    controller: bool = False


class _Metadata(msgspec.Struct):
    name: str
    uid: str = ""
    namespace: str = ""
    labels: dict[str, str] | None = None
    owners: list[_Owner] = msgspec.field(name="ownerReferences", default_factory=list)
    deletion: str = msgspec.field(name="deletionTimestamp", default="")


class _Spec(msgspec.Struct):
    node: str = msgspec.field(name="nodeName", default="")


class _Envelope(msgspec.Struct):
    metadata: _Metadata
    spec: _Spec | None = None


_decode_envelope = msgspec.json.Decoder(_Envelope).decode


class _RawMetadata(msgspec.Struct):
    metadata: msgspec.Raw


_decode_raw_metadata = msgspec.json.Decoder(_RawMetadata).decode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def key_of(namespace: str, name: str) -> str:
    """Return the key of an object; keys sort by namespace, then name."""
    return f"{namespace}/{name}" if namespace else name


class Item:
    """One version of an object; immutable."""

    __slots__ = (
        *("_fields", "controller", "deleting", "key", "labels", "name", "namespace", "node"),
        *("_without_managed_fields", "owners", "raw", "resource", "uid", "version"),
    )

    def __init__(self, resource: Resource, version: int, raw: bytes) -> None:
        envelope = _decode_envelope(raw)
        metadata = envelope.metadata
        self.resource = resource
        self.version = version
        self.raw = raw  # the object's JSON without `kind` and `apiVersion`
        self.namespace = metadata.namespace
        self.name = metadata.name
        self.uid = metadata.uid
        self.labels = metadata.labels or {}
        self.owners = tuple(owner.uid for owner in metadata.owners)  # UIDs of its owners
        # UID of the owner that controls it, or empty.
        self.controller = next((owner.uid for owner in metadata.owners if owner.controller), "")
        self.deleting = bool(metadata.deletion)  # whether it has a deletion timestamp
        # `spec.nodeName` of a pod.
        self.node = envelope.spec.node if envelope.spec is not None else ""
        self.key = key_of(metadata.namespace, metadata.name)
        self._fields: dict[str, str] | None = None
        self._without_managed_fields: Item | None = None

    def copy(self) -> Object:
        """Return a decoded copy that the caller may modify."""
        return decode(self.raw)

    @property
    def fields(self) -> dict[str, str]:
        """The values of the fields that field selectors support."""
        fields = self._fields
        if fields is None:
            fields = {"metadata.name": self.name, "metadata.namespace": self.namespace}
            if self.resource.fields:
                item = self.resource.decode_selectable(self.raw)
                fields |= {label: get(item) for label, get in self.resource.fields.items()}
            self._fields = fields
        return fields

    @property
    def raw_metadata(self) -> bytes:
        """The JSON of the metadata."""
        return bytes(_decode_raw_metadata(self.raw).metadata)

    def without_managed_fields(self) -> Item:
        """Return the object without `metadata.managedFields`; itself if it has none."""
        if b'"managedFields":' not in self.raw:
            return self
        if self._without_managed_fields is None:
            obj = _decode_members(self.raw)
            metadata = _decode_members(obj["metadata"])
            metadata.pop("managedFields", None)
            obj["metadata"] = msgspec.Raw(encode(metadata))
            self._without_managed_fields = Item(self.resource, self.version, encode(obj))
        return self._without_managed_fields

    def encode_with_kind(self) -> bytes:
        """Return the object's JSON with `kind` and `apiVersion`."""
        return self.resource.json_prefix + self.raw[1:]


class Change:
    """One change of an object."""

    __slots__ = ("_line", "before", "item", "type")

    def __init__(self, kind: str, item: Item, before: Item | None) -> None:
        self.type = kind  # ADDED, MODIFIED or DELETED
        self.item = item  # the new version; for DELETED the last state with the deletion's version
        self.before = before  # the replaced version; None for ADDED
        self._line: bytes | None = None

    @property
    def version(self) -> int:
        """The version that this change created."""
        return self.item.version

    @property
    def line(self) -> bytes:
        """The line of a watch for this change; encoded once for all watches."""
        if self._line is None:
            self._line = encode_watch_line(self.type, self.item)
        return self._line


def encode_watch_line(kind: str, item: Item) -> bytes:
    """Return one line of a watch."""
    return b'{"type":"%b","object":%b}\n' % (kind.encode(), item.encode_with_kind())


Listener = Callable[[Change], None]


class Table:
    """The objects of one resource and their history."""

    def __init__(self, resource: Resource, history: int) -> None:
        self.resource = resource
        self.items: dict[str, Item] = {}  # objects by key
        self.keys: list[str] = []  # the sorted keys
        self.changes: deque[Change] = deque(maxlen=history)  # the latest changes
        self.listeners: list[Listener] = []
        # The newest version that is not in `changes` any more; watches cannot start before.
        self.compacted = 0

    def append_change(self, change: Change) -> None:
        """Append a change to the history."""
        if len(self.changes) == self.changes.maxlen:
            self.compacted = self.changes[0].version
        self.changes.append(change)

    def key_range(self, namespace: str) -> tuple[int, int]:
        """Return the slice of `keys` with a namespace's objects; of all if it is empty."""
        if not namespace:
            return 0, len(self.keys)
        return (
            bisect_left(self.keys, f"{namespace}/"),
            bisect_left(self.keys, f"{namespace}0"),  # "0" follows "/"
        )


class Store:
    """The objects of all resources."""

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
        journal.rewrite(self._records(), self.version)

    def _records(self) -> Iterator[tuple[int, str, str, bytes]]:
        for table in self.tables.values():
            path = _join_path(table.resource)
            for item in table.items.values():
                yield item.version, path, item.key, item.raw

    @property
    def empty(self) -> bool:
        """Whether there are no objects."""
        return not any(table.items for table in self.tables.values())

    def get(self, resource: Resource, namespace: str, name: str) -> Item | None:
        """Return the newest version of an object."""
        return self.tables[resource].items.get(key_of(namespace, name))

    def all(self, resource: Resource, namespace: str = "") -> list[Item]:
        """Return the newest versions of all objects, sorted by key."""
        table = self.tables[resource]
        first, last = table.key_range(namespace)
        items = table.items
        return [items[key] for key in table.keys[first:last]]

    def at(self, resource: Resource, version: int, namespace: str, start: str) -> list[Item] | None:
        """Return the objects at a version from key `start` on; None if it is compacted."""
        table = self.tables[resource]
        if version < table.compacted:
            return None
        first, last = table.key_range(namespace)
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
        """Return all changes after a version, oldest first; None if some are compacted."""
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

        Listeners run within the write: they must be fast, must not raise, and must not write.
        """
        listeners = self.tables[resource].listeners
        listeners.append(listener)

        def unsubscribe() -> None:
            with contextlib.suppress(ValueError):
                listeners.remove(listener)

        return unsubscribe

    def put(self, resource: Resource, item: Object) -> Item:
        """Create or replace an object and set its `resourceVersion`."""
        metadata = item["metadata"]
        version = self.version + 1
        metadata["resourceVersion"] = str(version)
        new = Item(resource, version, encode(_order_fields(item)))
        self._store(new)
        return new

    def put_raw(self, resource: Resource, raw: bytes) -> Item:
        """Create or replace an object whose JSON already contains version `version + 1`."""
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
        self._publish(table, Change(MODIFIED if before else ADDED, new, before), new.raw)

    def remove(self, resource: Resource, namespace: str, name: str) -> Item | None:
        """Delete an object; return its last state with the deletion's version."""
        table = self.tables[resource]
        before = table.items.pop(key_of(namespace, name), None)
        if before is None:
            return None
        del table.keys[bisect_left(table.keys, before.key)]
        self.version += 1
        last = before.copy()
        last["metadata"]["resourceVersion"] = str(self.version)
        deleted = Item(resource, self.version, encode(last))
        self._publish(table, Change(DELETED, deleted, before), b"")
        return deleted

    def _publish(self, table: Table, change: Change, raw: bytes) -> None:
        if self._journal is not None:
            self._journal.append(change.version, _join_path(table.resource), change.item.key, raw)
            if self._journal.needs_rewrite:
                self._journal.rewrite(self._records(), self.version)
        table.append_change(change)
        for listener in tuple(table.listeners):
            listener(change)

    @contextlib.contextmanager
    def bulk(self) -> Iterator[None]:
        """Write the journal once, at the end of the body, which must not be killed before."""
        journal, self._journal = self._journal, None
        try:
            yield
        finally:
            self._journal = journal
            if journal is not None:
                journal.rewrite(self._records(), self.version)

    def compact(self) -> None:
        """Clear the history of every resource."""
        for table in self.tables.values():
            table.changes.clear()
            table.compacted = self.version


def _order_fields(item: Object) -> Object:
    """Return the object as in lists: metadata first, without kind and apiVersion."""
    others = {k: v for k, v in item.items() if k not in ("kind", "apiVersion", "metadata")}
    return {"metadata": _order_metadata(item["metadata"]), **others}


_METADATA_ORDER = (
    *("name", "generateName", "namespace", "uid", "resourceVersion", "generation"),
    *("creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "labels"),
    *("annotations", "ownerReferences", "finalizers", "managedFields"),
)


def _order_metadata(metadata: Object) -> Object:
    ordered = {name: metadata[name] for name in _METADATA_ORDER if metadata.get(name) is not None}
    for name in ("labels", "annotations", "ownerReferences", "finalizers"):
        if not ordered.get(name, True):
            del ordered[name]
    return ordered


def _join_path(resource: Resource) -> str:
    return f"{resource.group}/{resource.version}/{resource.plural}"


def _split_path(path: str) -> tuple[str, str, str]:
    group, version, plural = path.split("/")
    return group, version, plural
