"""NodeRestriction: a kubelet changes its own node and the pods on it, nobody else's."""

from __future__ import annotations

from collections.abc import Iterator

from sampan.api import kinds
from sampan.api.errors import NotFound
from sampan.api.meta import Json
from sampan.apiserver.attempts import CREATE, DELETE, UPDATE, Attempt
from sampan.apiserver.cacher.cacher import Cacher
from sampan.apiserver.cacher.collection import Collection

MIRROR = "kubernetes.io/config.mirror"
RESTRICTED = "node-restriction.kubernetes.io"
KUBELET_DOMAINS = ("kubelet.kubernetes.io", "node.kubernetes.io")
KUBELET_LABELS = frozenset({
    "kubernetes.io/hostname", "topology.kubernetes.io/zone", "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/region",
    "node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type", "kubernetes.io/os",
    "kubernetes.io/arch", "beta.kubernetes.io/os", "beta.kubernetes.io/arch",
})  # fmt: skip
REFERENCES = {
    "configMap": "configmaps (via configmap volumes)",
    "secret": "secrets (via secret volumes)",
    "csi": "csidrivers (via CSI volumes)",
    "persistentVolumeClaim": "persistentvolumeclaims",
    "ephemeral": "persistentvolumeclaims (via ephemeral volumes)",
    "azureFile": "secrets (via azureFile volumes)",
}
"""What a volume makes a pod refer to, in the order in which upstream looks."""
LEASE_NAMESPACE = "kube-node-lease"


class NodeRestriction:
    def __init__(self, cacher: Cacher) -> None:
        self._pods = cacher.collection("", "pods")
        self._nodes = cacher.collection("", "nodes")

    async def validate(self, attempt: Attempt) -> None:
        return

    async def admit(self, attempt: Attempt) -> None:
        """What was sent is judged, before what a kind drops of it is gone."""
        node = attempt.user.node
        if not node:
            return
        plural = (attempt.id.group, attempt.id.plural)
        if plural == ("", "pods"):
            self._pod(attempt, node)
        elif plural == ("", "nodes"):
            _node(attempt, node)
        elif plural == ("", "serviceaccounts") and attempt.subresource == "token":
            self._token(attempt, node)
        elif plural == ("coordination.k8s.io", "leases"):
            _lease(attempt, node)
        elif plural == ("storage.k8s.io", "csinodes") and attempt.name != node:
            raise attempt.forbid(
                "can only access CSINode with the same name as the requesting node"
            )

    def _pod(self, attempt: Attempt, node: str) -> None:
        operation, sub = attempt.operation, attempt.subresource
        if sub == "" and operation == CREATE:
            _mirror_pod(attempt, node, self._nodes)
        elif (sub == "" and operation == DELETE) or (sub == "status" and operation == UPDATE):
            bound = (attempt.old or {}).get("spec", {}).get("nodeName", "")
            if bound != node:
                what = "delete pods" if operation == DELETE else "update pod status for pods"
                raise attempt.forbid(
                    f'node "{node}" can only {what} with spec.nodeName set to itself'
                )
            if operation == UPDATE and _labels(attempt.obj) != _labels(attempt.old):
                raise attempt.forbid(f'node "{node}" cannot update labels through pod status')
        elif sub == "eviction":
            self._eviction(attempt, node)
        else:
            raise attempt.forbid(
                f'unexpected operation "{operation}", node "{node}" can only create and delete '
                "mirror pods"
            )

    def _eviction(self, attempt: Attempt, node: str) -> None:
        item = self._pods.get(attempt.namespace, attempt.name)
        if item is not None and item.decode()["spec"].get("nodeName") != node:
            raise attempt.forbid(
                f"node {node} can only evict pods with spec.nodeName set to itself"
            )

    def _token(self, attempt: Attempt, node: str) -> None:
        ref = ((attempt.obj or {}).get("spec") or {}).get("boundObjectRef") or {}
        if ref.get("kind") != "Pod" or not ref.get("name"):
            raise attempt.forbid("node requested token not bound to a pod")
        item = self._pods.get(attempt.namespace, ref["name"])
        if item is None or item.decode()["spec"].get("nodeName") != node:
            raise attempt.forbid(
                "node requested token bound to a pod scheduled on a different node"
            )


def _labels(obj: Json | None) -> Json:
    return ((obj or {}).get("metadata") or {}).get("labels") or {}


def _check_owner(attempt: Attempt, node: str, owners: list[Json], nodes: Collection) -> None:
    """A mirror pod belongs to its node, the one that there is, and to nobody else."""
    itself = f'node "{node}" can only create pods with'
    if len(owners) > 1:
        raise attempt.forbid(f"{itself} a single owner reference set to itself")
    owner = owners[0] if owners else {}
    if [owner.get(key) for key in ("apiVersion", "kind", "name")] != ["v1", "Node", node]:
        raise attempt.forbid(f"{itself} an owner reference set to itself")
    if not owner.get("controller"):
        raise attempt.forbid(f"{itself} a controller owner reference set to itself")
    if owner.get("blockOwnerDeletion"):
        raise attempt.forbid(f'node "{node}" must not set blockOwnerDeletion on an owner reference')
    item = nodes.get("", node)
    if item is None:
        raise NotFound.of(kinds.NODES, node)
    held = item.decode()["metadata"].get("uid", "")
    if owner.get("uid") != held:
        said = owner.get("uid", "")
        raise attempt.forbid(f"node {node} UID mismatch: expected {said} got {held}")


def _mirror_pod(attempt: Attempt, node: str, nodes: Collection) -> None:
    pod = attempt.obj or {}
    if MIRROR not in (pod["metadata"].get("annotations") or {}):
        raise attempt.forbid(
            f'pod does not have "{MIRROR}" annotation, node "{node}" can only create mirror pods'
        )
    spec = pod["spec"]
    if spec.get("nodeName") != node:
        raise attempt.forbid(f'node "{node}" can only create pods with spec.nodeName set to itself')
    _check_owner(attempt, node, pod["metadata"].get("ownerReferences") or [], nodes)
    if spec.get("serviceAccountName"):
        raise attempt.forbid(f'node "{node}" can not create pods that reference serviceaccounts')
    for what in _named(spec):
        raise attempt.forbid(f'node "{node}" can not create pods that reference {what}')
    for volume in spec.get("volumes") or ():
        for kind, what in REFERENCES.items():
            if kind in volume:
                raise attempt.forbid(f'node "{node}" can not create pods that reference {what}')


def _named(spec: Json) -> Iterator[str]:
    """The kinds of objects that the pod refers to outside of volumes."""
    containers = [
        container
        for key in ("initContainers", "containers", "ephemeralContainers")
        for container in spec.get(key) or ()
    ]
    sources = [entry for c in containers for entry in c.get("envFrom") or ()]
    sources += [entry.get("valueFrom") or {} for c in containers for entry in c.get("env") or ()]
    if spec.get("imagePullSecrets") or any(
        s.keys() & {"secretRef", "secretKeyRef"} for s in sources
    ):
        yield "secrets"
    if any(s.keys() & {"configMapRef", "configMapKeyRef"} for s in sources):
        yield "configmaps"
    if spec.get("resourceClaims"):
        yield "resourceclaims"


def _node(attempt: Attempt, node: str) -> None:
    new, old = attempt.obj, attempt.old
    if attempt.name != node:
        raise attempt.forbid(f'node "{node}" is not allowed to modify node "{attempt.name}"')
    if attempt.operation == DELETE or new is None:
        raise attempt.forbid(f'node "{node}" is not allowed to delete node "{attempt.name}"')
    spec, before = new.get("spec") or {}, (old or {}).get("spec") or {}
    source = spec.get("configSource") or None
    if source and attempt.operation == CREATE:
        raise attempt.forbid(
            f'node "{node}" is not allowed to create pods with a non-nil configSource'
        )
    if source and source != before.get("configSource"):
        raise attempt.forbid(
            f'node "{node}" is not allowed to update configSource to a new non-nil configSource'
        )
    if attempt.operation == UPDATE and (spec.get("taints") or []) != (before.get("taints") or []):
        raise attempt.forbid(f'node "{node}" is not allowed to modify taints')
    if attempt.operation == UPDATE and (new["metadata"].get("ownerReferences") or []) != (
        ((old or {}).get("metadata") or {}).get("ownerReferences") or []
    ):
        raise attempt.forbid(f'node "{node}" is not allowed to modify ownerReferences')
    changed = {
        key
        for key in {*_labels(new), *_labels(old)}
        if _labels(new).get(key) != _labels(old).get(key)
    }
    bad = sorted(key for key in changed if not _may_label(key))
    if bad:
        listed = ", ".join(bad)
        if attempt.operation == CREATE:
            why = f'node "{node}" is not allowed to set the following labels: {listed}'
        else:
            why = f"is not allowed to modify labels: {listed}"
        raise attempt.forbid(why)


def _may_label(key: str) -> bool:
    domain, slash, _ = key.partition("/")
    if not slash:
        return True
    if domain == RESTRICTED or domain.endswith("." + RESTRICTED):
        return False
    if not (domain.endswith(("kubernetes.io", "k8s.io"))):
        return True
    if key in KUBELET_LABELS:
        return True
    return any(domain == own or domain.endswith("." + own) for own in KUBELET_DOMAINS)


def _lease(attempt: Attempt, node: str) -> None:
    if attempt.namespace == LEASE_NAMESPACE and attempt.name != node:
        raise attempt.forbid("can only access node lease with the same name as the requesting node")
