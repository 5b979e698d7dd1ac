"""The smaller core kinds: what is particular to each."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from sampan.api.meta import Json
from sampan.resources import core, metadata
from sampan.resources.core.binding import BINDING
from sampan.resources.core.componentstatus import COMPONENTSTATUS
from sampan.resources.core.configmap import CONFIGMAP
from sampan.resources.core.endpoints import ENDPOINTS
from sampan.resources.core.event import EVENT
from sampan.resources.core.key_pairs import key_pair_fault
from sampan.resources.core.limitrange import LIMITRANGE
from sampan.resources.core.namespace import NAMESPACE
from sampan.resources.core.node import NODE
from sampan.resources.core.persistentvolume import PERSISTENTVOLUME
from sampan.resources.core.persistentvolumeclaim import PERSISTENTVOLUMECLAIM
from sampan.resources.core.replicationcontroller import REPLICATIONCONTROLLER
from sampan.resources.core.resourcequota import RESOURCEQUOTA
from sampan.resources.core.secret import SECRET


def named(name: str = "x", **more: Any) -> Json:
    meta = {"name": name, **more.pop("meta", {})}
    return {"metadata": meta, **more}


@pytest.mark.parametrize("resource", core.RESOURCES, ids=lambda each: each.id.plural)
def test_every_row_can_be_made_of_a_bare_object(resource: Any, rig: Any) -> None:
    bare = rig(resource).decode(named())
    assert len(rig(resource).row(bare)) == len(resource.columns)
    for read in resource.fields.values():
        assert isinstance(read(bare), str)


def test_a_namespace_keeps_its_label_and_finalizer(rig: Any) -> None:
    namespaces = rig(NAMESPACE)
    namespaces.create(named("a"))
    changed = namespaces.patch("a", {"metadata": {"labels": None}, "spec": {"finalizers": []}})
    assert changed["metadata"]["labels"] == {"kubernetes.io/metadata.name": "a"}
    assert changed["spec"]["finalizers"] == ["kubernetes"]
    ended = namespaces.patch("a", {"spec": {"finalizers": None}}, sub="finalize")
    assert not ended["spec"].get("finalizers")


def test_only_a_deleted_namespace_is_terminating(rig: Any) -> None:
    namespaces = rig(NAMESPACE)
    namespaces.create(named("a"))
    told = namespaces.refusal_of_patch("a", {"status": {"phase": "Terminating"}}, sub="status")
    assert told == (
        "status.Phase: Invalid value: \"Terminating\": may only be 'Active' if "
        "`deletionTimestamp` is empty"
    )


def test_a_config_map_has_a_size(rig: Any) -> None:
    big = base64.b64encode(b"x" * (1024 * 1024 + 1)).decode()
    assert rig(CONFIGMAP).refusal(named(binaryData={"a": big})) == (
        "[]: Too long: may not be more than 1048576 bytes"
    )
    fits = base64.b64encode(b"x" * 1024 * 1024).decode()
    rig(CONFIGMAP).create(named(binaryData={"a": fits}))


def test_a_secrets_type_is_for_life(rig: Any) -> None:
    secrets = rig(SECRET)
    secrets.create(named(type="example.com/a"))
    told = secrets.refusal_of_patch("x", {"type": "example.com/b"})
    assert told == 'type: Invalid value: "example.com/b": field is immutable'


@pytest.mark.parametrize(
    ("kind", "data", "told"),
    [
        ("kubernetes.io/tls", {}, "[data[tls.crt]: Required value, data[tls.key]: Required value]"),
        ("kubernetes.io/ssh-auth", {}, "data[ssh-privatekey]: Required value"),
        ("kubernetes.io/dockercfg", {}, "data[.dockercfg]: Required value"),
        ("kubernetes.io/dockercfg", {".dockercfg": "[]"},
         'data[.dockercfg]: Invalid value: "<secret contents redacted>": json: cannot unmarshal '
         "array into Go value of type map[string]interface {}"),
    ],
)  # fmt: skip
def test_typed_secrets_hold_what_their_type_says(
    kind: str, data: Json, told: str, rig: Any
) -> None:
    assert rig(SECRET).refusal(named(type=kind, stringData=data)) == told


def test_a_key_pair_is_told_from_what_is_none() -> None:
    key = b"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n"
    certificate = b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"
    assert "PEM inputs may have been switched" in key_pair_fault(key, certificate)
    assert key_pair_fault(certificate, b"") == "tls: failed to find any PEM data in key input"
    assert "certificate rather than a key" in key_pair_fault(certificate, certificate)
    assert key_pair_fault(certificate, key) == "x509: malformed certificate"


def test_endpoints_show_three_places_and_count_the_rest(rig: Any) -> None:
    addresses = [{"ip": f"10.0.0.{at}"} for at in range(1, 6)]
    made = rig(ENDPOINTS).create(named(subsets=[{"addresses": addresses, "ports": [{"port": 80}]}]))
    row = rig(ENDPOINTS).row(made)
    assert row["Endpoints"] == "10.0.0.1:80,10.0.0.2:80,10.0.0.3:80 + 2 more..."
    v6 = {"metadata": {}, "subsets": [{"addresses": [{"ip": "fd00::1"}], "ports": [{"port": 1}]}]}
    assert rig(ENDPOINTS).row(v6)["Endpoints"] == "[fd00::1]:1"


def test_endpoints_are_checked(rig: Any) -> None:
    assert rig(ENDPOINTS).refusal(named(subsets=[{"ports": [{"port": 80}]}])) == (
        "subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`"
    )
    assert rig(ENDPOINTS).refusal(named(subsets=[{"addresses": [{"ip": "169.254.1.1"}]}])) == (
        'subsets[0].addresses[0].ip: Invalid value: "169.254.1.1": may not be in the link-local '
        "range (169.254.0.0/16, fe80::/10)"
    )


def test_an_event_is_where_its_object_is(rig: Any) -> None:
    body = named(involvedObject={"kind": "Node", "name": "n"}, reason="r", message="m")
    made = rig(EVENT).create({**body, "metadata": {"name": "e", "namespace": "default"}})
    assert rig(EVENT).row(made)["Object"] == "node/n"
    told = rig(EVENT).refusal(body)
    assert told == 'involvedObject.namespace: Invalid value: "": does not match event.namespace'


def test_a_limit_range_fills_requests_from_limits_and_limits_from_the_maximum(rig: Any) -> None:
    item = {"type": "Container", "max": {"cpu": "2"}, "min": {"memory": "1Mi"}}
    made = rig(LIMITRANGE).create(named(spec={"limits": [item]}))["spec"]["limits"][0]
    assert made["default"] == {"cpu": "2"}
    assert made["defaultRequest"] == {"cpu": "2", "memory": "1Mi"}


def test_a_limit_range_is_in_order(rig: Any) -> None:
    item = {"type": "Container", "max": {"cpu": "1"}, "min": {"cpu": "2"}}
    told = rig(LIMITRANGE).refusal(named(spec={"limits": [item]}))
    assert 'spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max' in told
    item = {"type": "Pod", "maxLimitRequestRatio": {"cpu": "3"}, "min": {"cpu": "1"},
            "max": {"cpu": "2"}}  # fmt: skip
    assert rig(LIMITRANGE).refusal(named(spec={"limits": [item]})) == (
        'spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "3": ratio 3 is greater than '
        "max/min = 2.000000"
    )


def test_a_quota_counts_what_its_scopes_can_be_asked_for(rig: Any) -> None:
    quotas = rig(RESOURCEQUOTA)
    assert quotas.refusal(named(spec={"hard": {"cpu": "1"}, "scopes": ["BestEffort"]})) == (
        'spec.scopes: Invalid value: ["BestEffort"]: unsupported scope applied to resource'
    )
    both = {"hard": {"pods": "1"}, "scopes": ["Terminating", "NotTerminating"]}
    assert quotas.refusal(named(spec=both)) == (
        'spec.scopes: Invalid value: ["Terminating","NotTerminating"]: conflicting scopes'
    )
    assert quotas.refusal(named(spec={"hard": {"gpus": "1"}})) == (
        '[spec.hard[gpus]: Invalid value: "gpus": must be a standard resource type or fully '
        'qualified, spec.hard[gpus]: Invalid value: "gpus": must be a standard resource for quota]'
    )
    quotas.create(named(spec={"hard": {"pods": "1", "count/deployments.apps": "2"}}))
    assert quotas.refusal_of_patch("x", {"spec": {"scopes": ["Terminating"]}}) == (
        'spec.scopes: Invalid value: ["Terminating"]: field is immutable'
    )


def test_a_quotas_row_tells_used_and_hard(rig: Any) -> None:
    status = {"hard": {"pods": "2", "limits.cpu": "4"}, "used": {"pods": "1", "limits.cpu": "1"}}
    row = rig(RESOURCEQUOTA).row(named(status=status))
    assert (row["Request"], row["Limit"]) == ("pods: 1/2", "limits.cpu: 1/4")


def test_a_node_is_given_its_range_once(rig: Any) -> None:
    nodes = rig(NODE)
    nodes.create(named("n"))
    changed = nodes.patch("n", {"spec": {"podCIDR": "10.244.1.0/24"}})
    assert changed["spec"]["podCIDRs"] == ["10.244.1.0/24"]
    told = nodes.refusal_of_patch(
        "n", {"spec": {"podCIDR": "10.244.2.0/24", "podCIDRs": ["10.244.2.0/24"]}}
    )
    assert told == (
        'spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid'
    )


def test_taints_are_unique(rig: Any) -> None:
    taint = {"key": "a", "effect": "NoSchedule"}
    told = rig(NODE).refusal(named("n", spec={"taints": [taint, taint]}))
    assert told == (
        'metadata.taints[1]: Duplicate value: {"Key":"a","Value":"","Effect":"NoSchedule",'
        '"TimeAdded":null}: taints must be unique by key and effect pair'
    )


def test_a_nodes_row(rig: Any) -> None:
    node = named(
        "n",
        meta={"labels": {"node-role.kubernetes.io/control-plane": "", "kubernetes.io/role": "db"}},
        spec={"unschedulable": True},
        status={
            "conditions": [{"type": "Ready", "status": "Unknown"}],
            "addresses": [{"type": "InternalIP", "address": "192.0.2.1"}],
            "nodeInfo": {"kubeletVersion": "v1.36.2"},
        },
    )
    row = rig(NODE).row(node)
    assert row["Status"] == "NotReady,SchedulingDisabled"
    assert row["Roles"] == "control-plane,db"
    assert (row["Internal-IP"], row["External-IP"]) == ("192.0.2.1", "<none>")
    assert (row["Version"], row["OS-Image"]) == ("v1.36.2", "<unknown>")


def test_a_replication_controller_needs_labels_that_match(rig: Any) -> None:
    spec = {"containers": [{"name": "c", "image": "x"}], "restartPolicy": "Never"}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": spec}
    told = rig(REPLICATIONCONTROLLER).refusal(
        named(spec={"selector": {"a": "c"}, "template": template})
    )
    assert told == (
        '[spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match '
        'template `labels`, spec.template.spec.restartPolicy: Unsupported value: "Never": '
        'supported values: "Always"]'
    )
    assert rig(REPLICATIONCONTROLLER).refusal(named(spec={})) == (
        "[spec.selector: Required value, spec.template: Required value]"
    )


def test_a_binding_names_a_node() -> None:
    assert [str(e) for e in BINDING.validate({"target": {"kind": "Pod"}}, None, "")] == [
        'target.kind: Unsupported value: "Pod": supported values: "Node", "<empty>"',
        "target.name: Required value",
    ]


def test_component_status_reads_the_healthy_condition(rig: Any) -> None:
    obj = named(conditions=[{"type": "Healthy", "status": "True", "message": "ok"}])
    row = rig(COMPONENTSTATUS).row(obj)
    assert (row["Status"], row["Message"], row["Error"]) == ("Healthy", "ok", "")


CLAIM: Json = {
    "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}},
}  # fmt: skip


def test_a_claim_is_bound_once_and_then_grows(rig: Any) -> None:
    claims = rig(PERSISTENTVOLUMECLAIM)
    made = claims.create(named(spec=CLAIM))
    assert made["spec"]["volumeMode"] == "Filesystem"
    assert rig(PERSISTENTVOLUMECLAIM).row(made)["Capacity"] == ""
    claims.patch("x", {"spec": {"volumeName": "v"}})
    told = claims.refusal_of_patch("x", {"spec": {"volumeName": "w"}})
    assert told.startswith(
        "spec: Forbidden: spec is immutable after creation except resources.requests and "
        "volumeAttributesClassName for bound claims\n"
    )
    bound = {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]}
    row = claims.row(claims.patch("x", {"status": bound}, sub="status"))
    assert (row["Capacity"], row["Access Modes"]) == ("1Gi", "RWO")
    claims.patch("x", {"spec": {"resources": {"requests": {"storage": "2Gi"}}}})
    told = claims.refusal_of_patch("x", {"spec": {"resources": {"requests": {"storage": "1Gi"}}}})
    assert told == (
        "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"
    )


def test_a_claim_says_how_much_and_how(rig: Any) -> None:
    assert rig(PERSISTENTVOLUMECLAIM).refusal(named(spec={})) == (
        "[spec.accessModes: Required value: at least 1 access mode is required, "
        "spec.resources[storage]: Required value]"
    )


def volume(**more: Any) -> Json:
    spec = {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, **more}
    return named("v", spec=spec)


def test_a_volume_has_one_source_for_life(rig: Any) -> None:
    volumes = rig(PERSISTENTVOLUME)
    assert volumes.refusal(volume()) == "spec: Required value: must specify a volume type"
    two = volume(hostPath={"path": "/a"}, nfs={"server": "s", "path": "/"})
    assert volumes.refusal(two) == "spec.nfs: Forbidden: may not specify more than 1 volume type"
    made = volumes.create(volume(hostPath={"path": "/a"}))
    assert made["status"] == {
        "phase": "Pending", "lastPhaseTransitionTime": made["metadata"]["creationTimestamp"],
    }  # fmt: skip
    told = volumes.refusal_of_patch("v", {"spec": {"hostPath": {"path": "/b"}}})
    assert told.startswith(
        "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after "
        "creation\n"
    )


def test_a_local_volume_is_somewhere(rig: Any) -> None:
    told = rig(PERSISTENTVOLUME).refusal(volume(local={"path": "/disk"}))
    assert told == "spec.nodeAffinity: Required value: Local volume requires node affinity"


def test_a_volumes_row(rig: Any) -> None:
    body = volume(
        claimRef={"namespace": "ns", "name": "c"},
        hostPath={"path": "/a"},
        accessModes=["ReadWriteMany", "ReadWriteOnce"],
        storageClassName="fast",
    )
    row = rig(PERSISTENTVOLUME).row(rig(PERSISTENTVOLUME).create(body))
    assert (row["Claim"], row["Access Modes"], row["StorageClass"]) == ("ns/c", "RWO,RWX", "fast")
    assert (row["Reclaim Policy"], row["VolumeAttributesClass"]) == ("Retain", "<unset>")


OWNER = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}
METADATA: dict[str, tuple[Json, str]] = {
    "annotations": (
        {"annotations": {"a b": "c"}},
        'metadata.annotations: Invalid value: "a b": name part must consist of',
    ),
    "a finalizer": (
        {"finalizers": ["mine"]},
        'metadata.finalizers[0]: Invalid value: "mine": name is neither a standard finalizer name '
        "nor is it fully qualified",
    ),
    "an owner's version": (
        {"ownerReferences": [{**OWNER, "apiVersion": ""}]},
        'metadata.ownerReferences.apiVersion: Invalid value: "": version must not be empty',
    ),
    "an owner's uid": (
        {"ownerReferences": [{**OWNER, "uid": ""}]},
        'metadata.ownerReferences.uid: Invalid value: "": must not be empty',
    ),
    "events own nothing": (
        {"ownerReferences": [{**OWNER, "kind": "Event"}]},
        "/v1, Kind=Event is disallowed from being an owner",
    ),
    "one controller": (
        {"ownerReferences": [{**OWNER, "controller": True}, {**OWNER, "controller": True}]},
        'Only one reference can have Controller set to true. Found "true" in references for '
        "Pod/p and Pod/p",
    ),
}


@pytest.mark.parametrize("name", METADATA)
def test_metadata_is_checked(name: str, rig: Any) -> None:
    meta, told = METADATA[name]
    assert told in rig(CONFIGMAP).refusal(named(meta=meta))


def test_nothing_new_holds_up_what_is_deleted() -> None:
    old = named(meta={"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["a/b"]})
    new = named(meta={"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["a/b", "c/d"]})
    errors = metadata.validate_update(new, old, [], PERSISTENTVOLUME)
    assert str(errors[-1]) == (
        "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being "
        'deleted, found new finalizers []string{"c/d"}'
    )
