"""The pods of a StatefulSet: their names, labels, claims, and what state they are in. Pure."""

from __future__ import annotations

import copy
import re

from sampan.api.kinds import STATEFULSETS
from sampan.api.meta import Json, key_of
from sampan.controllers.owners import controller_reference
from sampan.controllers.pods import available_in, is_ready, is_terminating, phase

NAME_LABEL = "statefulset.kubernetes.io/pod-name"
INDEX_LABEL = "apps.kubernetes.io/pod-index"
REVISION_LABEL = "controller-revision-hash"
_ORDINAL = re.compile(r"(.*)-([0-9]+)$")


def ordinal_of(statefulset: Json, pod: Json) -> int | None:
    """The pod's number; None where its name is no name of this set."""
    match = _ORDINAL.fullmatch(pod["metadata"]["name"])
    if match is None or match[1] != statefulset["metadata"]["name"]:
        return None
    return int(match[2])


def first_ordinal(statefulset: Json) -> int:
    return int((statefulset["spec"].get("ordinals") or {}).get("start") or 0)


def revision_of(pod: Json) -> str:
    found: str = (pod["metadata"].get("labels") or {}).get(REVISION_LABEL, "")
    return found


def is_created(pod: Json | None) -> bool:
    return pod is not None and phase(pod) != ""


def is_running_and_ready(pod: Json) -> bool:
    return phase(pod) == "Running" and is_ready(pod)


def is_available(pod: Json, need: float, now: float) -> bool:
    return is_running_and_ready(pod) and available_in(pod, need, now) == 0


def is_healthy(pod: Json | None) -> bool:
    return pod is not None and is_running_and_ready(pod) and not is_terminating(pod)


def new_pod(statefulset: Json, template: Json, ordinal: int, revision: str) -> Json:
    """The pod with this number, of this template."""
    meta = template.get("metadata") or {}
    name = f"{statefulset['metadata']['name']}-{ordinal}"
    pod: Json = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": statefulset["metadata"]["namespace"],
            "labels": {**(meta.get("labels") or {}), REVISION_LABEL: revision},
            "ownerReferences": [controller_reference(STATEFULSETS, statefulset)],
        },
        "spec": copy.deepcopy(template.get("spec") or {}),
    }
    for field in ("annotations", "finalizers"):
        if meta.get(field):
            pod["metadata"][field] = copy.copy(meta[field])
    pod["spec"]["hostname"] = name
    pod["spec"].pop("subdomain", None)  # only its Service gives it one
    if statefulset["spec"].get("serviceName"):
        pod["spec"]["subdomain"] = statefulset["spec"]["serviceName"]
    return with_identity(statefulset, pod, ordinal)


def with_identity(statefulset: Json, pod: Json, ordinal: int) -> Json:
    """The pod with the labels and claims that its number gives it; itself where it has them."""
    meta = pod["metadata"]
    own = {NAME_LABEL: meta["name"], INDEX_LABEL: str(ordinal)}
    labels = {**(meta.get("labels") or {}), **own}
    spec = pod["spec"]
    claimed = [
        {
            "name": claim["metadata"]["name"],
            "persistentVolumeClaim": {"claimName": claim_name(claim, meta["name"])},
        }
        for claim in statefulset["spec"].get("volumeClaimTemplates") or ()
    ]
    names = {volume["name"] for volume in claimed}
    present = {v["name"]: v for v in spec.get("volumes") or () if v["name"] in names}
    same_claims = all(_claims(present.get(v["name"]), v) for v in claimed)
    if labels == meta.get("labels") and same_claims:
        return pod
    others = [v for v in spec.get("volumes") or () if v["name"] not in names]
    volumes = [*others, *claimed]
    changed = {**pod, "metadata": {**meta, "labels": labels}, "spec": {**spec}}
    if volumes:
        changed["spec"]["volumes"] = volumes
    return changed


def _claims(present: Json | None, wanted: Json) -> bool:
    name = ((present or {}).get("persistentVolumeClaim") or {}).get("claimName")
    return bool(name == wanted["persistentVolumeClaim"]["claimName"])


def claim_name(claim: Json, pod_name: str) -> str:
    return f"{claim['metadata']['name']}-{pod_name}"


def claims_for(statefulset: Json, pod: Json) -> list[Json]:
    """The PersistentVolumeClaims that a pod needs, from the templates."""
    selector = (statefulset["spec"].get("selector") or {}).get("matchLabels") or {}
    claims = []
    for template in statefulset["spec"].get("volumeClaimTemplates") or ():
        meta = template["metadata"]
        labels = {**(meta.get("labels") or {}), **selector}
        fresh: Json = {
            "metadata": {
                **{k: v for k, v in meta.items() if k in ("annotations", "finalizers")},
                "name": claim_name(template, pod["metadata"]["name"]),
                "namespace": key_of(statefulset).namespace,
                "labels": labels,
            },
            "spec": copy.deepcopy(template["spec"]),
        }
        claims.append(fresh)
    return claims
