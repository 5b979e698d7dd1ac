"""What the cluster looks like to DNS: objects by name and by address, and which replies a change
touches.

Batches come from the watching half. A change replaces an object as a whole, so that a set of
endpoints is never seen half updated.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any

from sampan.dns.kube.objects import (
    Import,
    Pod,
    Service,
    Slice,
    import_of,
    service_of,
    slice_of,
)

NAMESPACE, SERVICE, SLICE, POD, IMPORT, IMPORT_SLICE = "n", "s", "e", "p", "i", "m"
GONE, BEGUN, SYNCED, HEARD = "-", "begun", "synced", "heard"
REQUEST, WARNING, DRIFT = "request", "warning", "drift"
Name = tuple[str, str]


class Model:
    """`apply` returns the tags of what changed; `on_request`, `on_warning` and
    `on_drift` hear of the watching half's requests and troubles.

    A watching half that begins anew (BEGUN) lists everything; what it has not named when it is
    done (SYNCED) is gone.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.namespaces: set[str] = set()
        self.services: dict[Name, Service] = {}
        self.imports: dict[Name, Import] = {}
        self.pods: dict[Name, Pod] = {}
        self.slices: dict[Name, Slice] = {}
        self.by_service: dict[Name, dict[str, Slice]] = {}
        self.import_slices: dict[Name, Slice] = {}
        self.by_import: dict[Name, dict[str, Slice]] = {}
        self.service_ips: dict[str, list[Name]] = {}
        self.external_ips: dict[str, list[Name]] = {}
        self.endpoint_ips: dict[str, list[Name]] = {}
        self.pod_ips: dict[str, list[Name]] = {}
        self.synced = False
        self.heard = 0.0
        self.modified = self.external_modified = self.multi_modified = 0
        self.on_request: Callable[[tuple[Any, ...]], None] = lambda row: None
        self.on_warning: Callable[[str], None] = lambda text: None
        self.on_drift: Callable[[int], None] = lambda lost: None
        self._unnamed: dict[str, set[Name]] = {}
        self._takers: dict[str, Callable[[tuple[Any, ...] | None, Name], Iterable[Hashable]]] = {
            NAMESPACE: self._namespace,
            SERVICE: self._service,
            SLICE: self._slice,
            POD: self._pod,
            IMPORT: self._import,
            IMPORT_SLICE: self._import_slice,
        }

    def apply(self, batch: bytes) -> list[Hashable]:
        """Take a batch; the tags of replies that no longer hold."""
        return self.take(marshal.loads(batch))

    def take(self, rows: Iterable[tuple[Any, ...]]) -> list[Hashable]:
        serials = (self.modified, self.external_modified, self.multi_modified)
        tags: list[Hashable] = []
        for row in rows:
            kind = row[0]
            if kind == GONE:
                tags += self._takers[row[1]](None, (row[2], row[3]))
            elif kind in self._takers:
                data = row[1]
                key = (data[0], data[1] if len(data) > 1 else "")
                if self._unnamed:
                    self._unnamed[kind].discard(key)
                tags += self._takers[kind](data, key)
            else:
                tags += self._news(row)
        if serials != (self.modified, self.external_modified, self.multi_modified):
            tags.append("serial")
        return tags

    def _news(self, row: tuple[Any, ...]) -> list[Hashable]:
        """What a row says that is no object."""
        if row[0] == BEGUN:
            self._unnamed = self._known()
        elif row[0] == SYNCED:
            unnamed, self._unnamed = self._unnamed, {}
            self.synced = True
            gone = ((kind, key) for kind, keys in unnamed.items() for key in keys)
            return ["synced", *(tag for kind, key in gone for tag in self._takers[kind](None, key))]
        elif row[0] == HEARD:
            self.heard = self.now()
        elif row[0] == REQUEST:
            self.on_request(row)
        elif row[0] == WARNING:
            self.on_warning(row[1])
        elif row[0] == DRIFT:
            self.on_drift(row[1])
        return []

    def _known(self) -> dict[str, set[Name]]:
        return {
            NAMESPACE: {(name, "") for name in self.namespaces},
            SERVICE: set(self.services),
            SLICE: set(self.slices),
            POD: set(self.pods),
            IMPORT: set(self.imports),
            IMPORT_SLICE: set(self.import_slices),
        }

    def endpoints(self, key: Name) -> list[Slice]:
        """The slices of a service, in the order of their names."""
        return _in_order(self.by_service.get(key))

    def size(self, key: Name) -> int:
        """How many endpoints a service has."""
        return sum([len(one.endpoints) for one in self.by_service.get(key, {}).values()])

    def import_endpoints(self, key: Name) -> list[Slice]:
        return _in_order(self.by_import.get(key))

    # One method per kind: replace, index, say what it touches.

    def _namespace(self, row: tuple[Any, ...] | None, key: Name) -> Iterator[Hashable]:
        name = key[0]
        if row is None:
            self.namespaces.discard(name)
        elif name in self.namespaces:
            return
        else:
            self.namespaces.add(name)
        yield "ns", name

    def _service(self, row: tuple[Any, ...] | None, key: Name) -> Iterator[Hashable]:
        old, new = self.services.pop(key, None), service_of(row) if row else None
        if new is not None:
            self.services[key] = new
        if old == new:
            return
        yield "svc", *key
        for index, before, after in (
            (self.service_ips, old.ips if old else (), new.ips if new else ()),
            (
                self.external_ips,
                old.external_ips if old else (),
                new.external_ips if new else (),
            ),
        ):
            yield from _reindex(index, key, before, after)
        self.modified = int(self.now())
        if old is not None and new is not None and old.external_ips != new.external_ips:
            self.external_modified = self.modified
        yield "self"

    def _slice(self, row: tuple[Any, ...] | None, key: Name) -> Iterator[Hashable]:
        old, new = self.slices.pop(key, None), slice_of(row) if row else None
        if new is not None:
            self.slices[key] = new
        if old == new:
            return
        for one in (old, new):
            if one is not None and one.service:
                yield "svc", one.namespace, one.service
        _regroup(self.by_service, old, new)
        before = {e.ip for e in old.endpoints} if old else set()
        after = {e.ip for e in new.endpoints} if new else set()
        yield from _reindex(self.endpoint_ips, key, before, after)
        for ip in before & after:
            yield "ip", ip
        self.modified = int(self.now())
        yield "self"

    def _pod(self, row: tuple[Any, ...] | None, key: Name) -> Iterator[Hashable]:
        """One that is going away keeps its name until it is gone, if it had one before."""
        new = Pod(*row) if row else None
        if new is not None and new.leaving:
            return
        old = self.pods.pop(key, None)
        if new is not None:
            self.pods[key] = new
        before = {old.ip} - {""} if old else set()
        after = {new.ip} - {""} if new else set()
        for _, ip in _reindex(self.pod_ips, key, before, after):
            yield "pod", ip
        if before != after:
            self.modified = int(self.now())

    def _import(self, row: tuple[Any, ...] | None, key: Name) -> Iterator[Hashable]:
        old, new = self.imports.pop(key, None), import_of(row) if row else None
        if new is not None:
            self.imports[key] = new
        if old == new:
            return
        self._modified(multi=old is not None and new is not None)
        yield "import", *key

    def _import_slice(self, row: tuple[Any, ...] | None, key: Name) -> Iterator[Hashable]:
        old, new = self.import_slices.pop(key, None), slice_of(row) if row else None
        if new is not None:
            self.import_slices[key] = new
        if old == new:
            return
        _regroup(self.by_import, old, new)
        for one in (old, new):
            if one is not None:
                yield "import", one.namespace, one.service
        self._modified(multi=old is not None and new is not None)

    def _modified(self, *, multi: bool) -> None:
        """As upstream counts: what comes or goes is the cluster's serial, also when imported."""
        if multi:
            self.multi_modified = int(self.now())
        else:
            self.modified = int(self.now())


def _in_order(group: dict[str, Slice] | None) -> list[Slice]:
    if not group:
        return []
    return [group[name] for name in sorted(group)] if len(group) > 1 else [*group.values()]


def _reindex(
    index: dict[str, list[Name]], key: Name, before: Iterable[str], after: Iterable[str]
) -> Iterator[tuple[str, str]]:
    """Move a key from old addresses to new ones; tags of the addresses that changed."""
    old, new = set(before), set(after)
    for ip in old - new:
        keys = index[ip]
        keys.remove(key)
        if not keys:
            del index[ip]
        yield "ip", ip
    for ip in new - old:
        index.setdefault(ip, []).append(key)
        yield "ip", ip


def _regroup(groups: dict[Name, dict[str, Slice]], old: Slice | None, new: Slice | None) -> None:
    if old is not None and (new is None or new.service != old.service):
        group = groups.get((old.namespace, old.service), {})
        group.pop(old.name, None)
        if not group:
            groups.pop((old.namespace, old.service), None)
    if new is not None:
        groups.setdefault((new.namespace, new.service), {})[new.name] = new
