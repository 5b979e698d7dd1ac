"""What /metrics shows of requests, under upstream's names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from sampan.apiserver.request import RequestInfo
from sampan.std.clock import Clock
from sampan.std.metrics import Registry


class Meters:
    def __init__(self, registry: Registry, clock: Clock) -> None:
        self.registry = registry
        self._clock = clock
        labels = ("verb", "group", "version", "resource", "subresource")
        self._requests = registry.counter(
            "apiserver_request_total", "Requests by verb, resource and code.", (*labels, "code")
        )
        self._duration = registry.histogram(
            "apiserver_request_duration_seconds", "Time until the answer began.", labels
        )
        self._in_flight = registry.gauge(
            "apiserver_current_inflight_requests", "Requests under way.", ("request_kind",)
        )
        self._counts = {True: 0, False: 0}
        for reading, kind in ((True, "readOnly"), (False, "mutating")):
            self._in_flight.labels(kind).read_from(partial(self._counts.__getitem__, reading))
        registry.process()

    def begin(self) -> float:
        return self._clock.monotonic()

    def end(self, started: float, info: RequestInfo, status: int) -> None:
        labels = (info.verb.upper(), info.group, info.version, info.resource, info.subresource)
        if not info.resource_request or status == 404:
            # Paths that do not exist must not make time series without end.
            labels = (info.verb.upper() if status != 404 else "OTHER", "", "", "", "")
        self._requests.labels(*labels, str(status)).inc()
        self._duration.labels(*labels).observe(self._clock.monotonic() - started)

    @contextmanager
    def in_flight(self, reading: bool) -> Iterator[int]:
        """Counts one request while it is served."""
        self._counts[reading] += 1
        try:
            yield self._counts[reading]
        finally:
            self._counts[reading] -= 1
