"""The watching half: lists and watches what DNS needs, and sends rows of what changed.

It may run in a process of its own. Nothing of an object but its row is kept, and a change that no
name shows is not sent.
"""

from __future__ import annotations

import asyncio
import marshal
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sampan.api import kinds
from sampan.api.errors import ApiError
from sampan.api.meta import Json, ResourceId
from sampan.client.client import Client
from sampan.client.kubeconfig import Connection
from sampan.client.transport import Request, Response, Transport, Unreachable
from sampan.dns.kube import model, objects, snapshot
from sampan.loop.informer import Informer
from sampan.std.clock import Clock
from sampan.std.http import Feed

Send = Callable[[bytes], None]
Row = Callable[[Json], Any]
SERVICE_IMPORTS = ResourceId("multicluster.x-k8s.io", "v1alpha1", "serviceimports", "ServiceImport")
LIVING = "status.phase!=Succeeded,status.phase!=Failed,status.phase!=Unknown"
BATCH = 8
"""Rows that are taken at once, while queries wait: 0.3 ms for as many slices of ten endpoints."""
HEARD_S = 5.0
SNAPSHOT_S = 30.0
CHECK_RATE = 100
"""Objects a second that checks may list on average: a large cluster is checked less often."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to watch."""

    services: bool = True
    endpoints: bool = True
    pods: bool = False
    imports: bool = False
    labels: str = ""
    namespace_labels: str = ""
    snapshot: str = ""
    """Where to keep what is known, for a start without an API server."""
    check_s: float = 300.0
    """How often to compare what is known with what the server has."""


class Watcher:
    """`run` never returns; rows are sent in batches, in the order of their events."""

    def __init__(self, connection: Connection, wanted: Wanted, clock: Clock) -> None:
        self.connection = connection
        self.wanted = wanted
        self.clock = clock
        self._rows: list[Any] = []
        self._send: Send = lambda batch: None
        self._due = False
        self._unsaved = False

    async def run(self, send: Send) -> None:
        self._send = send
        transport = _Counted(self.connection.transport(), self._add, self.clock)
        client = Client(transport, user_agent="sampan-dns", token=self.connection.bearer())
        informers = {what[0]: self._informer(client, *what) for what in self._kinds()}
        self._add((model.BEGUN,))
        async with asyncio.TaskGroup() as group:
            for informer in informers.values():
                group.create_task(informer.run())
            for informer in informers.values():
                await informer.synced.wait()
            self._add((model.SYNCED,))
            for informer in informers.values():
                group.create_task(self._check_for_ever(informer))
            if self.wanted.snapshot:
                group.create_task(self._save_for_ever(informers))
            while True:
                if transport.living == len(informers):
                    self._add((model.HEARD,))
                await self.clock.sleep(HEARD_S)

    async def _check_for_ever(self, informer: Informer) -> None:
        """A watch that skips a change says nothing: compare with the server now and then."""
        while True:
            wait_s = max(self.wanted.check_s, len(informer) / CHECK_RATE)
            await self.clock.sleep(wait_s * random.uniform(0.8, 1.2))
            try:
                lost = await informer.check()
            except (ApiError, Unreachable):
                continue  # the watch fares no better, and says so
            if lost:
                self._add((model.DRIFT, lost))
                text = f"{lost} of {informer.rid.plural} were lost by the watch, and found again"
                self._add((model.WARNING, text))

    async def _save_for_ever(self, informers: Mapping[str, Informer]) -> None:
        while True:
            if self._unsaved:
                self._unsaved = False
                try:
                    snapshot.write(
                        self.wanted.snapshot,
                        ((kind, o["row"]) for kind, of in informers.items() for o in of.items()),
                    )
                except OSError as bad:
                    self._add((model.WARNING, f"cannot write the snapshot: {bad}"))
            await self.clock.sleep(SNAPSHOT_S)

    def _kinds(self) -> list[tuple[str, ResourceId, Row, str, str]]:
        """Kind of row, resource, what makes the row, label and field selector."""
        wanted = self.wanted
        found: list[tuple[str, ResourceId, Row, str, str]] = [
            (model.NAMESPACE, kinds.NAMESPACES, objects.namespace_row, wanted.namespace_labels, "")
        ]
        if wanted.services:
            found.append((model.SERVICE, kinds.SERVICES, objects.service_row, wanted.labels, ""))
        if wanted.endpoints:
            found.append((model.SLICE, kinds.ENDPOINTSLICES, objects.slice_row, wanted.labels, ""))
        if wanted.pods:
            found.append((model.POD, kinds.PODS, objects.pod_row, wanted.labels, LIVING))
        if wanted.imports:
            # Upstream chooses imports by the labels that it wants of namespaces.
            chosen = wanted.namespace_labels
            found.append((model.IMPORT, SERVICE_IMPORTS, objects.import_row, chosen, ""))
            labels = ",".join(filter(None, (wanted.labels, objects.IMPORT_NAME)))
            row = objects.import_slice_row
            found.append((model.IMPORT_SLICE, kinds.ENDPOINTSLICES, row, labels, ""))
        return found

    def _informer(
        self, client: Client, kind: str, rid: ResourceId, row: Row, labels: str, fields: str
    ) -> Informer:
        def transform(obj: Json) -> Json:
            meta = obj["metadata"]
            kept = {
                "name": meta["name"],
                "namespace": meta.get("namespace", ""),
                "resourceVersion": meta.get("resourceVersion", ""),
            }
            return {"metadata": kept, "row": objects.plain(row(obj))}

        informer = Informer(
            client, rid, labels=labels, fields=fields, transform=transform, clock=self.clock
        )
        informer.on_change(lambda old, new: self._changed(kind, old, new))
        return informer

    def _changed(self, kind: str, old: Json | None, new: Json | None) -> None:
        self._unsaved = True
        if new is None:
            meta = (old or {})["metadata"]
            name = (meta["namespace"], meta["name"])
            if kind == model.NAMESPACE:
                name = (meta["name"], "")
            self._add((model.GONE, kind, *name))
        elif old is None or old["row"] != new["row"]:
            self._add((kind, new["row"]))

    def _add(self, row: Any) -> None:
        self._rows.append(row)
        if len(self._rows) >= BATCH:
            self._flush()
        elif not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._due = False
        if self._rows:
            rows, self._rows = self._rows, []
            self._send(marshal.dumps(rows))


class _Counted:
    """A transport that tells of every request (verb, code, seconds) and counts living streams."""

    def __init__(self, inner: Transport, tell: Callable[[Any], None], clock: Clock) -> None:
        self.inner = inner
        self.tell = tell
        self.clock = clock
        self.living = 0

    async def request(self, request: Request, *, timeout_s: float = 30) -> Response:
        began = self.clock.monotonic()
        code = "<error>"
        try:
            response = await self.inner.request(request, timeout_s=timeout_s)
            code = str(response.status)
        finally:
            self.tell((model.REQUEST, request.method, code, self.clock.monotonic() - began))
        if "watch=true" in request.query and response.status == 200:
            response.body = self._living(response.body)
        return response

    async def _living(self, body: bytes | AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        self.living += 1
        try:
            if isinstance(body, bytes):
                yield body
                return
            async for chunk in body:
                yield chunk
        finally:
            self.living -= 1
            if isinstance(body, AsyncGenerator | Feed):
                await body.aclose()

    async def close(self) -> None:
        await self.inner.close()
