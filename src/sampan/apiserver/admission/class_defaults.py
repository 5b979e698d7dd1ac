"""DefaultStorageClass and DefaultIngressClass: who names no class gets the one marked default.
StorageObjectInUseProtection: claims and volumes stay while they are used.
"""

from __future__ import annotations

from sampan.api.meta import Json
from sampan.apiserver.attempts import CREATE, UPDATE, Attempt, Kinds
from sampan.apiserver.cacher.cacher import Cacher
from sampan.apiserver.cacher.collection import Collection

STORAGE_DEFAULT = "storageclass.kubernetes.io/is-default-class"
STORAGE_LEGACY = "volume.beta.kubernetes.io/storage-class"
INGRESS_DEFAULT = "ingressclass.kubernetes.io/is-default-class"
INGRESS_LEGACY = "kubernetes.io/ingress.class"
PROTECTION = {
    "persistentvolumeclaims": "kubernetes.io/pvc-protection",
    "persistentvolumes": "kubernetes.io/pv-protection",
}


class DefaultStorageClass:
    kinds: Kinds = frozenset({("", "persistentvolumeclaims")})

    def __init__(self, cacher: Cacher) -> None:
        self._classes = cacher.collection("storage.k8s.io", "storageclasses")

    async def admit(self, attempt: Attempt) -> None:
        claim = attempt.obj
        if not attempt.is_for("", "persistentvolumeclaims") or attempt.operation != CREATE:
            return
        if claim is None or "storageClassName" in claim["spec"]:
            return
        if STORAGE_LEGACY in (claim["metadata"].get("annotations") or {}):
            return
        name = default_of(self._classes, STORAGE_DEFAULT)
        if name:
            claim["spec"]["storageClassName"] = name

    async def validate(self, attempt: Attempt) -> None:
        return


class DefaultIngressClass:
    kinds: Kinds = frozenset({("networking.k8s.io", "ingresses")})

    def __init__(self, cacher: Cacher) -> None:
        self._classes = cacher.collection("networking.k8s.io", "ingressclasses")

    async def admit(self, attempt: Attempt) -> None:
        ingress = attempt.obj
        if not attempt.is_for("networking.k8s.io", "ingresses") or attempt.operation != CREATE:
            return
        if ingress is None or ingress["spec"].get("ingressClassName") is not None:
            return
        if INGRESS_LEGACY in (ingress["metadata"].get("annotations") or {}):
            return
        name = default_of(self._classes, INGRESS_DEFAULT)
        if name:
            ingress["spec"]["ingressClassName"] = name

    async def validate(self, attempt: Attempt) -> None:
        return


def default_of(classes: Collection, annotation: str) -> str:
    """The newest class that is marked; by name among equally old ones."""
    marked: list[Json] = []
    for item in classes.items():
        if annotation.encode() in item.body:
            meta = item.decode()["metadata"]
            if (meta.get("annotations") or {}).get(annotation) == "true":
                marked.append(meta)
    marked.sort(key=lambda meta: str(meta["name"]))
    marked.sort(key=lambda meta: str(meta["creationTimestamp"]), reverse=True)
    return str(marked[0]["name"]) if marked else ""


class StorageObjectInUseProtection:
    kinds: Kinds = frozenset({("", "persistentvolumeclaims"), ("", "persistentvolumes")})

    async def admit(self, attempt: Attempt) -> None:
        finalizer = PROTECTION.get(attempt.id.plural, "")
        if attempt.operation != CREATE or attempt.obj is None or not finalizer:
            return
        if attempt.id.group or attempt.subresource:
            return
        held = attempt.obj["metadata"].get("finalizers") or []
        if finalizer not in held:
            attempt.obj["metadata"]["finalizers"] = [*held, finalizer]

    async def validate(self, attempt: Attempt) -> None:
        return


class PersistentVolumeClaimResize:
    kinds: Kinds = frozenset({("", "persistentvolumeclaims")})

    def __init__(self, cacher: Cacher) -> None:
        self._classes = cacher.collection("storage.k8s.io", "storageclasses")

    async def admit(self, attempt: Attempt) -> None:
        return

    async def validate(self, attempt: Attempt) -> None:
        if not attempt.is_for("", "persistentvolumeclaims") or attempt.operation != UPDATE:
            return
        new, old = attempt.obj, attempt.old
        if new is None or old is None or not _grew(new, old):
            return
        name = old["spec"].get("storageClassName") or ""
        item = self._classes.get("", name) if name else None
        if item is None or not item.decode().get("allowVolumeExpansion"):
            raise attempt.forbid(
                "only dynamically provisioned pvc can be resized and the storageclass that "
                "provisions the pvc must support resize"
            )


def _grew(new: Json, old: Json) -> bool:
    from sampan.api import quantity

    def size(claim: Json) -> int:
        requests = (claim["spec"].get("resources") or {}).get("requests") or {}
        return quantity.units(requests.get("storage", "0"))

    return size(new) > size(old) and (old.get("status") or {}).get("phase") == "Bound"
