"""The ServiceAccount: who a pod is at the API."""

from __future__ import annotations

from sampan.api import kinds
from sampan.api.meta import Json
from sampan.api.resource import Resource, Subresource
from sampan.resources import cells

ENFORCE_MOUNTABLE = "kubernetes.io/enforce-mountable-secrets"


def prepare(new: Json, old: Json | None, subresource: str) -> None:
    """Of references to secrets only the name counts."""
    if new.get("secrets"):
        new["secrets"] = [
            {"name": each["name"]} if each.get("name") else {} for each in new["secrets"]
        ]


def warnings(new: Json, old: Json | None) -> list[str]:
    def wants(account: Json | None) -> bool:
        notes = ((account or {}).get("metadata") or {}).get("annotations") or {}
        return ENFORCE_MOUNTABLE in notes

    if not wants(new) or wants(old):
        return []
    return [
        f"metadata.annotations[{ENFORCE_MOUNTABLE}]: deprecated in v1.32+; prefer separate "
        "namespaces to isolate access to mounted secrets"
    ]


SERVICEACCOUNT = Resource(
    id=kinds.SERVICEACCOUNTS,
    schema="io.k8s.api.core.v1.ServiceAccount",
    singular="serviceaccount",
    short=("sa",),
    prepare=prepare,
    warnings=warnings,
    columns=(cells.NAME, cells.AGE),
    subresources=(Subresource("token", kinds.TOKENREQUESTS, ("create",)),),
    generation=False,
    returns_deleted=True,
)
