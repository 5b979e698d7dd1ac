"""metadata.managedFields of writes that are no apply."""

from __future__ import annotations

from sampan.api.meta import Json
from sampan.apiserver.served import Served
from sampan.std.clock import Clock


class FieldOwnership:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def track(
        self, served: Served, old: Json | None, new: Json, manager: str, subresource: str
    ) -> None:
        """Note in `new` what a write that is no apply changed."""
