"""Everything else that is not core: one rule or cell for each that the recorded cases lack."""

from __future__ import annotations

import base64
import copy
import re
from typing import Any

import pytest

from sampan.api import decode, facts
from sampan.api.meta import Json
from sampan.api.resource import Resource
from sampan.resources import (
    admissionregistration,
    apiregistration,
    authorization,
    coordination,
    discovery,
    events,
    flowcontrol,
    networking,
    node,
    policy,
    rbac,
    resource,
    scheduling,
    storage,
)
from sampan.resources.apiextensions import naming
from sampan.resources.apiextensions.crd import CUSTOMRESOURCEDEFINITION
from sampan.resources.catalog import CATALOG
from sampan.resources.certificates import CERTIFICATESIGNINGREQUEST, csr

KINDS: dict[str, Resource] = {
    each.id.kind: each
    for group in (
        admissionregistration, apiregistration, authorization, coordination, discovery, events,
        flowcontrol, networking, node, policy, rbac, resource, scheduling, storage,
    )
    for each in group.RESOURCES
}  # fmt: skip


def named(name: str = "x", **fields: Any) -> Json:
    return {"metadata": {"name": name}, **fields}


def hook(**fields: Any) -> Json:
    usual: Json = {
        "name": "a.b.example.com",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "clientConfig": {"url": "https://example.com/x"},
    }
    return named(webhooks=[usual | fields])


def vap(**fields: Any) -> Json:
    rule = {"operations": ["*"], "apiGroups": [""], "apiVersions": ["*"], "resources": ["pods"]}
    usual: Json = {
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": "true"}],
    }
    return named(spec=usual | fields)


REFUSALS: list[tuple[str, Json, str]] = [
    ("EndpointSlice", named(addressType="IPv6", endpoints=[{"addresses": ["10.0.0.1"]}]),
     'endpoints[0].addresses: Invalid value: "10.0.0.1": must be an IPv6 address'),
    ("EndpointSlice", named(addressType="IPv4", endpoints=[
        {"addresses": ["10.0.0.1"], "hints": {"forZones": [{"name": "a"}, {"name": "a"}]}}]),
     'endpoints[0].hints.forZones[1].name: Duplicate value: "a"'),
    ("Lease", named(spec={"leaseDurationSeconds": 0}),
     "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"),
    ("Role", named(rules=[{"verbs": ["get"], "nonResourceURLs": ["/x"]}]),
     'rules[0].nonResourceURLs: Invalid value: ["/x"]: namespaced rules cannot apply to '
     "non-resource URLs"),
    ("ClusterRole", named(rules=[{"verbs": [], "resources": ["pods"]}]),
     "[rules[0].verbs: Required value: verbs must contain at least one value, rules[0].apiGroups: "
     "Required value: resource rules must supply at least one api group]"),
    ("ClusterRoleBinding", named(roleRef={"kind": "Role", "name": "r"}, subjects=[
        {"kind": "ServiceAccount", "name": "a"}]),
     '[roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole", '
     "subjects[0].namespace: Required value]"),
    ("Event", named(reason="r", type="Odd", regarding={"namespace": "ns"},
                    eventTime="2026-01-01T00:00:00.000000Z", reportingController="c",
                    reportingInstance="i", action="a"),
     'type: Invalid value: "": has invalid value: Odd'),
    ("PodDisruptionBudget", named(spec={"minAvailable": 1, "maxUnavailable": 1}),
     'spec: Invalid value: {"MinAvailable":1,"Selector":null,"MaxUnavailable":1,'
     '"UnhealthyPodEvictionPolicy":null}: minAvailable and maxUnavailable cannot be both set'),
    ("NetworkPolicy", named(spec={"egress": [{"to": [{"ipBlock": {
        "cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}}]}]}),
     'spec.egress[0].to[0].ipBlock.except[0]: Invalid value: "11.0.0.0/16": must be a strict '
     "subset of `cidr`"),
    ("NetworkPolicy", named(spec={"ingress": [{"ports": [{"endPort": 9}], "from": [{}]}]}),
     "[spec.ingress[0].ports[0].endPort: Invalid value: 9: may not be specified when `port` is not "
     "specified, spec.ingress[0].from[0]: Required value: must specify a peer]"),
    ("IngressClass", named(spec={"controller": "c"}),
     'spec.controller: Invalid value: "c": must be a domain-prefixed path (such as "acme.io/foo")'),
    ("ServiceCIDR", named(spec={"cidrs": ["10.0.0.1/8"]}),
     'spec.cidrs[0]: Invalid value: "10.0.0.1/8": must not have bits set beyond the prefix '
     "length"),
    ("IPAddress", named("10.0.0.1", spec={"parentRef": {"resource": "services"}}),
     "spec.parentRef.name: Required value"),
    ("PriorityClass", named(value=1000000001),
     "value: Forbidden: maximum allowed value of a user defined priority is 1000000000"),
    ("PriorityClass", named("system-x"),
     "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system "
     "use only. error: system-x is not a known system priority class"),
    ("RuntimeClass", named(handler="Bad"),
     'handler: Invalid value: "Bad": a lowercase RFC 1123 label must consist of lower case '
     "alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. "
     "'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"),
    ("StorageClass", named(), "provisioner: Required value"),
    ("CSIDriver", named(spec={"fsGroupPolicy": "Odd"}),
     'spec.fsGroupPolicy: Unsupported value: "Odd": supported values: "File", "None", '
     '"ReadWriteOnceWithFSType"'),
    ("CSINode", named(spec={"drivers": [{"name": "d", "nodeID": ""}]}),
     "spec.drivers[0].nodeID: Required value"),
    ("VolumeAttachment", named(spec={"attacher": "a", "nodeName": "n", "source": {}}),
     "spec.source: Required value: must specify exactly one of inlineVolumeSpec and "
     "persistentVolumeName"),
    ("VolumeAttributesClass", named(driverName="d"),
     "parameters: Required value: must contain at least one key/value pair"),
    ("FlowSchema", named(spec={"matchingPrecedence": 1, "priorityLevelConfiguration": {
        "name": "p"}}),
     "spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have "
     "matchingPrecedence 1"),
    ("PriorityLevelConfiguration", named(spec={"type": "Limited", "limited": {
        "limitResponse": {"type": "Queue", "queuing": {"queues": 1, "handSize": 2}}}}),
     "spec.limited.limitResponse.queuing.handSize: Invalid value: 2: should not be greater than "
     "queues (1)"),
    ("APIService", named("v1.x.example.com", spec={
        "group": "y.example.com", "version": "v1", "groupPriorityMinimum": 1,
        "versionPriority": 1}),
     'metadata.name: Invalid value: "v1.x.example.com": must be `spec.version+"."+spec.group`: '
     '"v1.y.example.com"'),
    ("ResourceClaim", named(spec={"devices": {"requests": [{"name": "r"}]}}),
     "spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is "
     "required"),
    ("ResourceSlice", named(spec={"driver": "d", "nodeName": "n", "pool": {
        "name": "p", "resourceSliceCount": 0}}),
     "spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero"),
    ("ValidatingWebhookConfiguration", hook(sideEffects="Some", timeoutSeconds=31),
     '[webhooks[0].sideEffects: Unsupported value: "Some": supported values: "None", '
     '"NoneOnDryRun", webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be '
     "between 1 and 30 seconds]"),
    ("MutatingWebhookConfiguration", hook(clientConfig={"url": "http://h/?q"}),
     "[webhooks[0].clientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL "
     "scheme; desired format: https://host[/path], webhooks[0].clientConfig.url: Invalid value: "
     '"q": query parameters are not permitted in the URL]'),
    ("ValidatingWebhookConfiguration", hook(matchConditions=[
        {"name": "c", "expression": "object.x +"}]),
     None),
    ("ValidatingAdmissionPolicy", vap(validations=[{"expression": "variables.y > 1"}],
                                      variables=[{"name": "x", "expression": "1"}]),
     'spec.validations[0].expression: Invalid value: "variables.y > 1": compilation failed: '
     "ERROR: <input>:1:10: undefined field 'y'\n | variables.y > 1\n | .........^"),
    ("ValidatingAdmissionPolicy", vap(validations=[{"expression": "'text'"}]),
     "spec.validations[0].expression: Invalid value: \"'text'\": must evaluate to bool but got "
     "string"),
    ("ValidatingAdmissionPolicyBinding", named(spec={
        "policyName": "p", "validationActions": ["Deny", "Warn"]}),
     'spec.validationActions: Invalid value: ["Deny","Warn"]: must not contain both Deny and Warn '
     "(repeating the same validation failure information in the API response and headers serves no "
     "purpose)"),
    ("MutatingAdmissionPolicy", named(spec={"matchConstraints": {"resourceRules": [
        {"operations": ["*"], "apiGroups": [""], "apiVersions": ["*"], "resources": ["pods"]}]},
        "reinvocationPolicy": "Never"}),
     "spec.mutations: Required value: mutations must contain at least one item"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "body", "says"), REFUSALS, ids=[row[0] for row in REFUSALS])
def test_a_kind_refuses(rig: Any, kind: str, body: Json, says: str | None) -> None:
    refusal = rig(KINDS[kind]).refusal(copy.deepcopy(body))
    assert refusal == says if says else "compilation failed" in refusal


def test_a_priority_class_keeps_its_value(rig: Any) -> None:
    classes = rig(KINDS["PriorityClass"])
    classes.create(named(value=5))
    assert classes.refusal_of_patch("x", {"value": 6}) == (
        "value: Forbidden: may not be changed in an update."
    )


def test_a_service_range_may_get_its_second_family_and_nothing_else(rig: Any) -> None:
    ranges = rig(KINDS["ServiceCIDR"])
    ranges.create(named(spec={"cidrs": ["10.0.0.0/8"]}))
    ranges.patch("x", {"spec": {"cidrs": ["10.0.0.0/8", "fd00::/112"]}})
    assert ranges.refusal_of_patch("x", {"spec": {"cidrs": ["10.0.0.0/8"]}}).endswith(
        "field is immutable"
    )


@pytest.mark.parametrize(
    ("kind", "body", "title", "cell"),
    [
        ("Ingress", named(spec={"rules": [{"host": f"{n}.x"} for n in "abcd"]}), "Hosts",
         "a.x,b.x,c.x + 1 more..."),
        ("Ingress", named(spec={"tls": [{}], "defaultBackend": {"service": {
            "name": "s", "port": {"number": 1}}}}), "Ports", "80, 443"),
        ("IPAddress", named("10.0.0.1", spec={"parentRef": {
            "resource": "services", "namespace": "default", "name": "kubernetes"}}), "ParentRef",
         "services/default/kubernetes"),
        ("EndpointSlice", named(addressType="IPv4", endpoints=[
            {"addresses": [f"10.0.0.{n}"]} for n in range(1, 6)]), "Endpoints",
         "10.0.0.1,10.0.0.2,10.0.0.3 + 2 more..."),
        ("RoleBinding", named(roleRef={"kind": "Role", "name": "r"}, subjects=[
            {"kind": "ServiceAccount", "name": "a", "namespace": "n"}]), "ServiceAccounts", "n/a"),
        ("PodDisruptionBudget", named(spec={"minAvailable": "50%"}), "Max Unavailable", "N/A"),
        ("StorageClass", {"metadata": {"name": "s", "annotations": {
            "storageclass.kubernetes.io/is-default-class": "true"}}, "provisioner": "p"}, "Name",
         "s (default)"),
        ("Event", named(regarding={"kind": "Pod", "name": "p", "namespace": "ns"}, reason="r",
                        type="Normal", action="a", reportingController="c", reportingInstance="i",
                        eventTime="1970-01-01T00:00:00.000000Z"), "Object", "pod/p"),
    ],
)  # fmt: skip
def test_a_cell_shows(rig: Any, kind: str, body: Json, title: str, cell: Any) -> None:
    kinds = rig(KINDS[kind])
    assert kinds.row(kinds.create(copy.deepcopy(body)), 90.0)[title] == cell


def signing_request() -> str:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "someone")])
    made = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()


def test_a_certificate_is_asked_for_decided_and_issued(rig: Any) -> None:
    requests = rig(CERTIFICATESIGNINGREQUEST)
    spec = {"request": signing_request(), "signerName": "example.com/s", "usages": ["client auth"]}
    assert "spec.usages[0]: Unsupported value" in requests.refusal(
        named(spec=spec | {"usages": ["odd"]})
    )
    requests.create(named(spec=spec))
    approve = {"type": "Approved", "status": "True"}
    changed = requests.patch("x", {"status": {"conditions": [approve]}}, sub="approval")
    assert csr.condition_text(changed) == "Approved"
    refusal = requests.refusal_of_patch("x", {"status": {"conditions": []}}, sub="approval")
    assert refusal == (
        'status.conditions: Forbidden: updates may not remove a condition of type "Approved"'
    )
    deny = {"type": "Denied", "status": "True"}
    kept = requests.patch("x", {"status": {"conditions": [approve, deny]}}, sub="status")
    assert csr.condition_text(kept) == "Approved"


def test_conditions_of_requests_get_their_times() -> None:
    old = {"status": {"conditions": [
        {"type": "Approved", "status": "True", "lastTransitionTime": "then"}]}}  # fmt: skip
    new = {"status": {"conditions": [
        {"type": "Approved", "status": "True"}, {"type": "Failed", "status": "True"}]}}  # fmt: skip
    csr.stamp(new, old, "now")
    times = [each["lastTransitionTime"] for each in new["status"]["conditions"]]
    assert times == ["then", "now"]


def crd(plural: str, kind: str, **names: Any) -> Json:
    spec = {"group": "x.example.com", "names": {"plural": plural, "kind": kind} | names}
    return {"metadata": {"name": f"{plural}.x.example.com"}, "spec": spec}


def test_the_first_definition_gets_the_name() -> None:
    first = crd("ws", "W", listKind="WList", singular="w")
    first["status"] = naming.status(first, [], "now")
    assert [each["status"] for each in first["status"]["conditions"]] == ["True", "True"]
    second = crd("vs", "W", listKind="WList", singular="w")
    status = naming.status(second, [first, second], "now")
    told = {each["type"]: (each["status"], each["reason"]) for each in status["conditions"]}
    assert told["NamesAccepted"] == ("False", "ListKindConflict")
    assert told["Established"] == ("False", "NotAccepted")


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"type": "array"}, "type: Invalid value: \"array\": must be object at the root"),
        ({"properties": {"x": {"type": "string"}}},
         "type: Required value: must not be empty at the root"),
        ({"type": "object", "anyOf": [{"properties": {"a": {"minimum": 1}}}]},
         "properties[a]: Required value: because it is defined in "
         "spec.validation.openAPIV3Schema.anyOf[0].properties[a]"),
        ({"type": "object", "properties": {"m": {
            "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
            "items": {"type": "object", "properties": {"k": {"type": "string"}}}}}},
         "properties[m].items.properties[k].default: Required value: this property is in "
         "x-kubernetes-list-map-keys, so it must have a default or be a required property"),
        ({"type": "object", "x-kubernetes-validations": [{"rule": "self.nope"}]},
         "undefined field 'nope'"),
        ({"type": "object", "properties": {"s": {"type": "string", "pattern": "("}}},
         "must be a valid regular expression"),
    ],
)  # fmt: skip
def test_a_schema_must_be_structural(rig: Any, schema: Json, says: str) -> None:
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    body = crd("ws", "W")
    body["spec"] |= {"scope": "Cluster", "versions": [version]}
    assert says in rig(CUSTOMRESOURCEDEFINITION).refusal(body)


def test_what_a_fresh_server_holds_is_valid_and_complete() -> None:
    """Upstream's own objects, as it shows them: nothing to add, nothing wrong."""
    by_path = {each.id.path(): each for each in CATALOG}
    for path, objects in facts.load("initial-objects").items():
        kind = by_path[re.sub("/namespaces/[^/]+/", "/", path)]
        for given in objects if kind.id.kind != "Namespace" else ():
            obj = decode.normal(given, kind.schema)
            shown = copy.deepcopy(obj)
            kind.defaults(obj)
            assert obj == shown
            assert kind.validate(obj, None, "") == []
