"""The Node authorizer: a kubelet may read what the pods bound to its node refer to, no more.

What its credential allows in general (create its Node, update statuses) comes from the default
role `system:node` in upstream as well; here stand the objects that need the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sampan.api.meta import Json
from sampan.apiserver.authz.attributes import NO_OPINION, Attributes, Decision
from sampan.apiserver.authz.rules import Rule, rule_of
from sampan.apiserver.cacher.cacher import Cacher
from sampan.apiserver.cacher.collection import Event

Reference = tuple[str, str, str]
"""Resource, namespace, name."""

_ALLOWED = Decision(True)


class NodeAuthorizer:
    """Keeps, for each node, the pods bound to it and what they refer to."""

    def __init__(self, cacher: Cacher) -> None:
        self._node_of: dict[tuple[str, str], str] = {}
        self._references: dict[str, dict[tuple[str, str], frozenset[Reference]]] = {}
        self._claims = cacher.collection("", "persistentvolumeclaims")
        self._volumes = cacher.collection("", "persistentvolumes")
        self._attachments = cacher.collection("storage.k8s.io", "volumeattachments")
        for item in cacher.collection("", "pods").items():
            self._pod_changed(Event(item.revision, item, None))
        cacher.listen("", "pods", self._pod_changed)

    def _pod_changed(self, event: Event) -> None:
        subject = event.subject
        place = (subject.namespace, subject.name)
        pod = event.item.decode() if event.item is not None else {}
        node = pod.get("spec", {}).get("nodeName", "")
        before = self._node_of.get(place, "")
        if before and before != node:
            del self._node_of[place]
            self._references[before].pop(place, None)
        if node:
            self._node_of[place] = node
            found = frozenset(references(pod))
            self._references.setdefault(node, {})[place] = found

    def decide(self, asked: Attributes) -> Decision:
        node = asked.user.node
        if not node or asked.path:
            return NO_OPINION
        graph: dict[tuple[str, str], Callable[[Attributes, str], Decision]] = {
            ("", "secrets"): self._read,
            ("", "configmaps"): self._read,
            ("", "serviceaccounts"): self._token,
            ("", "persistentvolumeclaims"): self._storage,
            ("", "persistentvolumes"): self._storage,
            ("storage.k8s.io", "volumeattachments"): self._attachment,
            ("coordination.k8s.io", "leases"): self._own,
            ("storage.k8s.io", "csinodes"): self._own,
            ("", "pods"): self._pod,
            ("", "nodes"): self._node,
        }
        special = graph.get((asked.group, asked.resource))
        if special is not None:
            return special(asked, node)
        return self._by_rules(asked)

    def _pod(self, asked: Attributes, node: str) -> Decision:
        """Its own ones; what it may change of them is for NodeRestriction."""
        if asked.subresource or asked.verb not in ("get", "list", "watch"):
            return self._by_rules(asked)
        if asked.verb != "get" and not asked.name:
            terms = asked.fields.split(",")
            if f"spec.nodeName={node}" in terms or f"spec.nodeName=={node}" in terms:
                return _ALLOWED
            return Decision(False, "can only list/watch pods with spec.nodeName field selector")
        mine = self._node_of.get((asked.namespace, asked.name)) == node
        return _ALLOWED if mine else self._unrelated(node)

    def _node(self, asked: Attributes, node: str) -> Decision:
        """Only its own is read; a list must say by `metadata.name` that it is."""
        reading = asked.verb in ("get", "list", "watch") and not asked.subresource
        if reading and asked.name != node:
            what = f"'{asked.name}'" if asked.name else "all nodes"
            text = f"node '{node}' cannot read {what}, only its own Node object"
            return Decision(False, text)
        return self._by_rules(asked)

    def _by_rules(self, asked: Attributes) -> Decision:
        return _ALLOWED if any(rule.allows(asked) for rule in NODE_RULES) else NO_OPINION

    def _read(self, asked: Attributes, node: str) -> Decision:
        if asked.verb not in ("get", "list", "watch") or asked.subresource:
            return Decision(False, "can only read resources of this type")
        if not asked.name:
            return Decision(False, "No Object name found")
        return self._related((asked.resource, asked.namespace, asked.name), node)

    def _token(self, asked: Attributes, node: str) -> Decision:
        if asked.subresource != "token":
            if asked.verb == "get" and not asked.subresource:
                return self._related(("serviceaccounts", asked.namespace, asked.name), node)
            return NO_OPINION
        if asked.verb != "create":
            return Decision(False, "can only create tokens for individual service accounts")
        if not asked.name:
            return Decision(False, "No Object name found")
        return self._related(("serviceaccounts", asked.namespace, asked.name), node)

    def _storage(self, asked: Attributes, node: str) -> Decision:
        claim = asked.resource == "persistentvolumeclaims"
        if claim and asked.subresource == "status" and asked.verb in ("update", "patch"):
            return self._related((asked.resource, asked.namespace, asked.name), node)
        if asked.verb != "get" or asked.subresource:
            return Decision(False, "can only get individual resources of this type")
        if claim:
            return self._related((asked.resource, asked.namespace, asked.name), node)
        item = self._volumes.get("", asked.name)
        ref = (item.decode()["spec"].get("claimRef") or {}) if item is not None else {}
        wanted = ("persistentvolumeclaims", ref.get("namespace", ""), ref.get("name", ""))
        return self._related(wanted, node)

    def _attachment(self, asked: Attributes, node: str) -> Decision:
        if asked.verb != "get" or asked.subresource:
            return Decision(False, "can only get individual resources of this type")
        item = self._attachments.get("", asked.name)
        mine = item is not None and item.decode()["spec"].get("nodeName") == node
        return _ALLOWED if mine else self._unrelated(node)

    def _own(self, asked: Attributes, node: str) -> Decision:
        if asked.resource == "leases" and asked.namespace != "kube-node-lease":
            return Decision(
                False, 'can only access leases in the "kube-node-lease" system namespace'
            )
        if asked.verb not in ("get", "create", "update", "patch", "delete"):
            return Decision(
                False,
                f"can only get, create, update, patch, or delete a node {asked.resource[:-1]}",
            )
        if asked.verb != "create" and asked.name != node:
            return Decision(
                False,
                f"can only access {asked.resource[:-1]} with the same name as the requesting node",
            )
        return _ALLOWED

    def _related(self, wanted: Reference, node: str) -> Decision:
        for found in self._references.get(node, {}).values():
            if wanted in found:
                return _ALLOWED
        return self._unrelated(node)

    @staticmethod
    def _unrelated(node: str) -> Decision:
        return Decision(False, f"no relationship found between node '{node}' and this object")


def references(pod: Json) -> Iterator[Reference]:
    """Secrets, config maps, claims and the account that a pod needs."""
    namespace, spec = pod["metadata"].get("namespace", ""), pod["spec"]
    yield "serviceaccounts", namespace, spec.get("serviceAccountName", "")
    for ref in spec.get("imagePullSecrets") or ():
        yield "secrets", namespace, ref.get("name", "")
    containers = [
        container
        for key in ("initContainers", "containers", "ephemeralContainers")
        for container in spec.get(key) or ()
    ]
    for container in containers:
        for source in _environment(container):
            yield source[0], namespace, source[1]
    for volume in spec.get("volumes") or ():
        for source in _volume(volume):
            yield source[0], namespace, source[1]


def _environment(container: Json) -> Iterator[tuple[str, str]]:
    for source in container.get("envFrom") or ():
        if "configMapRef" in source:
            yield "configmaps", source["configMapRef"].get("name", "")
        if "secretRef" in source:
            yield "secrets", source["secretRef"].get("name", "")
    for variable in container.get("env") or ():
        source = variable.get("valueFrom") or {}
        if "configMapKeyRef" in source:
            yield "configmaps", source["configMapKeyRef"].get("name", "")
        if "secretKeyRef" in source:
            yield "secrets", source["secretKeyRef"].get("name", "")


def _volume(volume: Json) -> Iterator[tuple[str, str]]:
    if "configMap" in volume:
        yield "configmaps", volume["configMap"].get("name", "")
    if "secret" in volume:
        yield "secrets", volume["secret"].get("secretName", "")
    if "persistentVolumeClaim" in volume:
        yield "persistentvolumeclaims", volume["persistentVolumeClaim"].get("claimName", "")
    for source in (volume.get("projected") or {}).get("sources") or ():
        if "configMap" in source:
            yield "configmaps", source["configMap"].get("name", "")
        if "secret" in source:
            yield "secrets", source["secret"].get("name", "")
    for kind in ("cephfs", "flexVolume", "iscsi", "rbd", "scaleIO", "storageos", "csi"):
        body = volume.get(kind) or {}
        ref = body.get("secretRef") or body.get("nodePublishSecretRef")
        if ref:
            yield "secrets", ref.get("name", "")


def _rules(*rows: tuple[str, str, str]) -> tuple[Rule, ...]:
    return tuple(
        rule_of({"verbs": v.split(","), "apiGroups": [g], "resources": r.split(",")})
        for v, g, r in rows
    )


# What every node may do (upstream: bootstrappolicy.NodeRules).
NODE_RULES = _rules(
    ("create", "authentication.k8s.io", "tokenreviews"),
    ("create", "authorization.k8s.io", "subjectaccessreviews,localsubjectaccessreviews"),
    ("get,list,watch", "", "services"),
    ("create,get,list,watch", "", "nodes"),
    ("patch,update", "", "nodes/status"),
    ("patch,update", "", "nodes"),
    ("create,patch,update", "", "events"),
    ("create,patch,update", "events.k8s.io", "events"),
    ("get,list,watch", "", "pods"),
    ("create,delete", "", "pods"),
    ("patch,update", "", "pods/status"),
    ("create", "", "pods/eviction"),
    ("create,get,list,watch", "certificates.k8s.io", "certificatesigningrequests"),
    ("get,list,watch", "storage.k8s.io", "csidrivers"),
    ("get,list,watch", "node.k8s.io", "runtimeclasses"),
    ("get", "resource.k8s.io", "resourceclaims"),
    ("create,delete,deletecollection,get,list,patch,update,watch", "resource.k8s.io",
     "resourceslices"),
)  # fmt: skip
