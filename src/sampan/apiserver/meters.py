"""What /metrics shows of requests, under upstream's names and labels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from sampan.apiserver.health import MINOR
from sampan.apiserver.request import RequestInfo
from sampan.std.clock import Clock
from sampan.std.metrics import Registry

LABELS = ("component", "dry_run", "group", "resource", "scope", "subresource", "verb", "version")
DURATIONS_S = (0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0,
               6.0, 8.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0)  # fmt: skip
VERBS = {"create": "POST", "update": "PUT"}
CONNECTING = frozenset({"attach", "exec", "portforward", "proxy"})
APPLY = "application/apply-patch"


class Meters:
    def __init__(self, registry: Registry, clock: Clock) -> None:
        self.registry = registry
        self._clock = clock
        self._requests = registry.counter(
            "apiserver_request_total",
            "Counter of apiserver requests by what was asked for and the code of the answer.",
            ("code", *LABELS),
        )
        self._duration = registry.histogram(
            "apiserver_request_duration_seconds", "Time until the answer began.", LABELS,
            DURATIONS_S,
        )  # fmt: skip
        self._objective = registry.histogram(
            "apiserver_request_sli_duration_seconds", "The same, as objectives are kept by.",
            LABELS, DURATIONS_S,
        )  # fmt: skip
        self._in_flight = registry.gauge(
            "apiserver_current_inflight_requests", "Requests under way.", ("request_kind",)
        )
        self._counts = {True: 0, False: 0}
        for reading, kind in ((True, "readOnly"), (False, "mutating")):
            self._in_flight.labels(kind).read_from(partial(self._counts.__getitem__, reading))
        self._objects = registry.gauge(
            "apiserver_resource_objects", "Stored objects, by resource.", ("group", "resource")
        )
        self._stored = registry.gauge(
            "apiserver_storage_objects", "The same, under its older name.", ("resource",)
        )
        registry.process()
        registry.build(f"1.{MINOR}.0")

    def begin(self) -> float:
        return self._clock.monotonic()

    def end(self, started: float, info: RequestInfo, status: int, query: str, media: str) -> None:
        """`media` is the content type of the request's body."""
        labels = _labels(info, query, media)
        if not info.resource_request or status == 404:
            # Paths that do not exist must not make time series without end.
            verb = labels[6] if status != 404 else "OTHER"
            labels = ("apiserver", "", "", "", "", "", verb, "")
        self._requests.labels(str(status), *labels).inc()
        took_s = self._clock.monotonic() - started
        self._duration.labels(*labels).observe(took_s)
        self._objective.labels(*labels).observe(took_s)

    def objects(self, group: str, resource: str, count: int) -> None:
        """How many there are of a resource; told whenever the page is asked for."""
        self._objects.labels(group, resource).set(count)
        self._stored.labels(f"{resource}.{group}" if group else resource).set(count)

    @contextmanager
    def in_flight(self, reading: bool) -> Iterator[int]:
        """Counts one request while it is served."""
        self._counts[reading] += 1
        try:
            yield self._counts[reading]
        finally:
            self._counts[reading] -= 1


def _labels(info: RequestInfo, query: str, media: str) -> tuple[str, ...]:
    """In the order of LABELS."""
    dry_run = "All" if query and "dryRun=All" in query else ""
    scope = "resource" if info.name else "namespace" if info.namespace else "cluster"
    return (
        "apiserver", dry_run, info.group, info.resource, scope, info.subresource,
        _verb(info, media), info.version,
    )  # fmt: skip


def _verb(info: RequestInfo, media: str) -> str:
    if info.subresource in CONNECTING:
        return "CONNECT"
    if info.verb == "patch" and media.startswith(APPLY):
        return "APPLY"
    return VERBS.get(info.verb) or info.verb.upper()
