"""TokenRequest: asks for a service account's token; only a body of `serviceaccounts/token`."""

from __future__ import annotations

from sampan.api.meta import Json
from sampan.resources import rules
from sampan.resources.rules import Errors

SHORTEST_S = 600
LONGEST_S = 1 << 32
USUAL_S = 3600


def defaults(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    if spec.get("expirationSeconds") is None:
        spec["expirationSeconds"] = USUAL_S


def validate(obj: Json) -> Errors:
    seconds = (obj.get("spec") or {}).get("expirationSeconds") or 0
    path = "spec.expirationSeconds"
    if seconds < SHORTEST_S:
        return rules.invalid(path, seconds, "may not specify a duration less than 10 minutes")
    if seconds > LONGEST_S:
        says = "may not specify a duration larger than 2^32 seconds"
        return rules.invalid(path, seconds, says)
    return []
