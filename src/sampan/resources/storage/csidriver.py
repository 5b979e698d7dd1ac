"""CSIDriver: what a storage driver can do and wants to know."""

from __future__ import annotations

from sampan.api import kinds, names
from sampan.api.meta import Json
from sampan.api.resource import Resource
from sampan.resources import cells, rules
from sampan.resources.rules import Errors

DRIVER_NAME_LIMIT = 63
_MODES = ["Persistent", "Ephemeral"]
_FS_GROUP = ["File", "None", "ReadWriteOnceWithFSType"]
_FIXED = ("attachRequired", "volumeLifecycleModes")
_SHOWN = {"attachRequired": "attachedRequired"}  # Upstream's slip.
_USUAL: Json = {
    "attachRequired": True,
    "podInfoOnMount": False,
    "storageCapacity": False,
    "fsGroupPolicy": "ReadWriteOnceWithFSType",
    "requiresRepublish": False,
    "seLinuxMount": False,
}


def defaults(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    for field, value in _USUAL.items():
        spec.setdefault(field, value)
    if not spec.get("volumeLifecycleModes"):
        spec["volumeLifecycleModes"] = ["Persistent"]


def driver_name(path: str, name: str) -> Errors:
    if not name:
        return rules.required(path)
    errors: Errors = []
    if len(name) > DRIVER_NAME_LIMIT:
        errors += rules.too_long(path, DRIVER_NAME_LIMIT)
    return errors + rules.each(path, name, names.dns1123_subdomain(name.lower()))


def prepare(new: Json, old: Json | None, subresource: str) -> None:
    """Generations are only counted once something changes."""
    if old is None:
        new["metadata"].pop("generation", None)
    elif new["spec"] != old["spec"]:
        new["metadata"]["generation"] = (old["metadata"].get("generation") or 0) + 1


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    spec = new["spec"]
    errors: Errors = []
    for field in ("attachRequired", "podInfoOnMount", "storageCapacity"):
        if spec.get(field) is None:
            errors += rules.required(f"spec.{field}")
    policy = spec.get("fsGroupPolicy")
    if policy is not None:
        errors += rules.choice("spec.fsGroupPolicy", policy, _FS_GROUP)
    errors += _audiences(spec.get("tokenRequests") or ())
    for mode in spec.get("volumeLifecycleModes") or ():
        if mode not in _MODES:
            errors += rules.not_supported("spec.volumeLifecycleModes", mode, _MODES)
    period = spec.get("nodeAllocatableUpdatePeriodSeconds")
    if period is not None and period < 10:
        path = "spec.nodeAllocatableUpdatePeriodSeconds"
        errors += rules.invalid(path, period, "must be greater than or equal to 10 seconds")
    if old is not None:
        for field in _FIXED:
            before = old["spec"].get(field)
            shown = _SHOWN.get(field, field)
            errors += rules.immutable(f"spec.{shown}", spec.get(field), before)
    return errors


def warnings(new: Json, old: Json | None) -> list[str]:
    spec, before = new["spec"], (old or {}).get("spec") or {}
    tokens = spec.get("tokenRequests")
    if not tokens or spec.get("serviceAccountTokenInSecrets") is not None:
        return []
    if old is not None and tokens == before.get("tokenRequests"):
        return []
    return [
        "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true "
        "to prevent possible logging of tokens in volume attributes"
    ]


def _audiences(requests: list[Json] | tuple[()]) -> Errors:
    errors, seen = rules.none(), set[str]()
    for at, request in enumerate(requests):
        path, audience = f"spec.tokenRequests[{at}]", request.get("audience", "")
        if audience in seen:
            errors += rules.duplicate(f"{path}.audience", audience)
        seen.add(audience)
        seconds = request.get("expirationSeconds")
        if seconds is not None and seconds < 600:
            says = "may not specify a duration less than 10 minutes"
            errors += rules.invalid(f"{path}.expirationSeconds", seconds, says)
        if seconds is not None and seconds > 1 << 32:
            says = "may not specify a duration larger than 2^32 seconds"
            errors += rules.invalid(f"{path}.expirationSeconds", seconds, says)
    return errors


def _tokens(obj: Json) -> str:
    requests = obj["spec"].get("tokenRequests")
    return cells.joined(r.get("audience", "") for r in requests) if requests else cells.UNSET


def _modes(obj: Json) -> str:
    return cells.joined(obj["spec"].get("volumeLifecycleModes") or ()) or cells.NONE


CSIDRIVER = Resource(
    id=kinds.CSIDRIVERS,
    schema="io.k8s.api.storage.v1.CSIDriver",
    singular="csidriver",
    metadata_checks="changes",
    defaults=defaults,
    prepare=prepare,
    validate=validate,
    warnings=warnings,
    columns=(
        cells.NAME,
        cells.column("AttachRequired", cells.field("spec", "attachRequired"), type="boolean"),
        cells.column("PodInfoOnMount", cells.field("spec", "podInfoOnMount"), type="boolean"),
        cells.column("StorageCapacity", cells.field("spec", "storageCapacity"), type="boolean"),
        cells.column("TokenRequests", _tokens),
        cells.column("RequiresRepublish", cells.field("spec", "requiresRepublish"), type="boolean"),
        cells.column("Modes", _modes),
        cells.AGE,
    ),
    unconditional_update=False,
    returns_deleted=True,
)
