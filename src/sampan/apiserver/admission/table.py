"""The plugins, in the order in which they run (upstream: AllOrderedPlugins)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sampan.apiserver.admission.certificates import (
    CertificateIdentity,
    CertificateSubjectRestriction,
    CertificateVerbs,
)
from sampan.apiserver.admission.class_defaults import (
    DefaultIngressClass,
    DefaultStorageClass,
    PersistentVolumeClaimResize,
    StorageObjectInUseProtection,
)
from sampan.apiserver.admission.escalation import RbacEscalation
from sampan.apiserver.admission.limit_ranger import LimitRanger
from sampan.apiserver.admission.namespace_lifecycle import NamespaceLifecycle
from sampan.apiserver.admission.node_restriction import NodeRestriction
from sampan.apiserver.admission.pod_security import PodSecurity
from sampan.apiserver.admission.policies import ValidatingAdmissionPolicies
from sampan.apiserver.admission.priority import Priority
from sampan.apiserver.admission.quota import ResourceQuota
from sampan.apiserver.admission.runtime_class import RuntimeClass
from sampan.apiserver.admission.service_account import ServiceAccount
from sampan.apiserver.admission.tolerations import (
    DefaultTolerationSeconds,
    TaintNodesByCondition,
)
from sampan.apiserver.admission.topology_labels import PodTopologyLabels
from sampan.apiserver.admission.webhooks import MutatingWebhooks, ValidatingWebhooks
from sampan.apiserver.attempts import Plugin
from sampan.apiserver.authz.authorizer import Authorizer
from sampan.apiserver.registry.base import Parts
from sampan.apiserver.served import Catalog


@dataclass(frozen=True, slots=True)
class World:
    """What plugins may be made of."""

    parts: Parts
    catalog: Catalog
    authorizer: Authorizer


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    make: Callable[[World], Plugin]
    default: bool = True
    fixed: bool = False
    """Part of how a kind is stored; no flag takes it away."""


PLUGINS: tuple[Row, ...] = (
    Row("NamespaceLifecycle", lambda w: NamespaceLifecycle(w.parts.cacher)),
    Row("LimitRanger", lambda w: LimitRanger(w.parts.cacher)),
    Row("ServiceAccount",
        lambda w: ServiceAccount(w.parts.cacher, w.parts.clock, w.parts.random_suffix)),
    Row("NodeRestriction", lambda w: NodeRestriction(w.parts.cacher), default=False),
    Row("TaintNodesByCondition", lambda _: TaintNodesByCondition()),
    Row("PodSecurity", lambda w: PodSecurity(w.parts.cacher)),
    Row("Priority", lambda w: Priority(w.parts.cacher)),
    Row("DefaultTolerationSeconds", lambda _: DefaultTolerationSeconds()),
    Row("DefaultStorageClass", lambda w: DefaultStorageClass(w.parts.cacher)),
    Row("StorageObjectInUseProtection", lambda _: StorageObjectInUseProtection()),
    Row("PersistentVolumeClaimResize", lambda w: PersistentVolumeClaimResize(w.parts.cacher)),
    Row("RuntimeClass", lambda w: RuntimeClass(w.parts.cacher)),
    Row("RbacEscalation", lambda w: RbacEscalation(w.authorizer), fixed=True),
    Row("CertificateIdentity", lambda w: CertificateIdentity(w.parts.timestamp), fixed=True),
    Row("CertificateApproval", lambda w: CertificateVerbs(w.authorizer)),
    Row("CertificateSubjectRestriction", lambda _: CertificateSubjectRestriction()),
    Row("DefaultIngressClass", lambda w: DefaultIngressClass(w.parts.cacher)),
    Row("PodTopologyLabels", lambda w: PodTopologyLabels(w.parts.cacher)),
    Row("MutatingAdmissionWebhook",
        lambda w: MutatingWebhooks(w.parts.cacher, w.parts.new_uid)),
    Row("ValidatingAdmissionPolicy",
        lambda w: ValidatingAdmissionPolicies(w.parts.cacher, w.catalog)),
    Row("ValidatingAdmissionWebhook",
        lambda w: ValidatingWebhooks(w.parts.cacher, w.parts.new_uid)),
    Row("ResourceQuota", lambda w: ResourceQuota(w.parts, w.catalog)),
)  # fmt: skip


class UnknownPlugin(Exception):
    """A flag names a plugin that is not in the table."""


def plugins(world: World, enabled: tuple[str, ...], disabled: tuple[str, ...]) -> list[Plugin]:
    """The default ones and those that are asked for, without those that are not wanted."""
    known = {row.name for row in PLUGINS if not row.fixed}
    for name in (*enabled, *disabled):
        if name not in known:
            raise UnknownPlugin(f"unknown admission plugin {name!r}; there are: {sorted(known)}")
    return [
        row.make(world)
        for row in PLUGINS
        if (row.default or row.name in enabled) and row.name not in disabled
    ]
