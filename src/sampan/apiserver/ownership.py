"""metadata.managedFields: what a write leaves behind, and server-side apply."""

from __future__ import annotations

from sampan.api import apply as fields
from sampan.api import schema
from sampan.api.apply import Writer
from sampan.api.fieldset import Path
from sampan.api.managed import UPDATE
from sampan.api.meta import Json
from sampan.api.quicktrack import fields_of_new, unmoved
from sampan.apiserver.options import WriteOptions
from sampan.apiserver.registry.base import timestamp
from sampan.apiserver.served import Served
from sampan.std.clock import Clock

SCALE = "io.k8s.api.autoscaling.v1.Scale"
STATUS: Path = ("f:status",)
SPEC: Path = ("f:spec",)
LABELS: Path = ("f:metadata", "f:labels")
METADATA: Path = ("f:metadata",)


class FieldOwnership:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def track(
        self, served: Served, old: Json | None, new: Json, manager: str, subresource: str
    ) -> None:
        """Note in `new` what a write that is no apply changed."""
        if old is None and not new["metadata"].get("managedFields"):
            self._first(served, new, manager, subresource)
            return
        writer = self._writer(served, manager, subresource)
        entries = unmoved(old, new, served.type, writer) if old is not None else None
        if entries is not None:
            new["metadata"]["managedFields"] = entries
            return
        tracked = fields.track(old, new, served.type, writer, served.empty())
        _replace(new, tracked)

    def _first(self, served: Served, new: Json, manager: str, subresource: str) -> None:
        """A new object belongs to its maker."""
        left_out = ignored(served, subresource)
        owned = fields_of_new(new, served.empty(), served.type, left_out)
        new["metadata"].pop("managedFields", None)
        if owned:
            new["metadata"]["managedFields"] = [{
                "manager": manager, "operation": UPDATE, "apiVersion": served.id.api_version,
                "time": timestamp(self._clock), "fieldsType": "FieldsV1", "fieldsV1": owned,
            }]  # fmt: skip

    def apply(
        self,
        served: Served,
        live: Json | None,
        config: Json,
        manager: str,
        subresource: str,
        *,
        force: bool,
    ) -> Json:
        """The live object with a configuration laid over it. Raises Conflict."""
        writer = self._writer(served, manager, subresource)
        return fields.apply(live, config, served.type, writer, served.empty(), force=force)

    def apply_scale(self, live: Json, config: Json, options: WriteOptions) -> Json:
        """The same for a Scale. Raises Conflict."""
        version = live["apiVersion"]
        writer = Writer(options.manager, version, timestamp(self._clock), "scale", (STATUS,))
        kind, empty = schema.of(SCALE), {"kind": live["kind"], "apiVersion": version}
        return fields.apply(live, config, kind, writer, empty, force=bool(options.force))

    def _writer(self, served: Served, manager: str, subresource: str) -> Writer:
        return Writer(
            manager,
            served.id.api_version,
            timestamp(self._clock),
            subresource,
            ignored(served, subresource),
        )


def ignored(served: Served, subresource: str) -> tuple[Path, ...]:
    """What a write through this door does not change, so nobody comes to own it by it."""
    if subresource == "status":
        return (SPEC, METADATA) if served.custom else (SPEC,)
    if not subresource and served.resource.has_status and not served.resource.status_on_create:
        return (STATUS,)
    return ()


def _replace(target: Json, source: Json) -> None:
    """Other code holds on to the object: it must stay the same dict."""
    if source is not target:
        target.clear()
        target.update(source)
