"""Rules of a pod's spec, beyond what was recorded: each mistake and what the client is told."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.api.meta import Json
from sampan.resources.core.pod.resource import POD


def pod(container: Json | None = None, /, **spec: Any) -> Json:
    base: Json = {"name": "c", "image": "x:1", **(container or {})}
    return {"metadata": {"name": "p"}, "spec": {"containers": [base], **spec}}


C0 = "spec.containers[0]"
REQUIRED_TERMS = "requiredDuringSchedulingIgnoredDuringExecution"
RFC_1123 = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, "
    "'-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', "
    "regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*"
    "[a-z0-9])?)*')"
)

CASES: dict[str, tuple[Json, str]] = {
    "a probe needs a handler": (
        pod({"livenessProbe": {}}),
        f"{C0}.livenessProbe: Required value: must specify a handler type",
    ),
    "a probe has one handler only": (
        pod({"readinessProbe": {"exec": {"command": ["x"]}, "tcpSocket": {"port": 1}}}),
        f"{C0}.readinessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type",
    ),
    "liveness succeeds at once": (
        pod({"livenessProbe": {"tcpSocket": {"port": 1}, "successThreshold": 2}}),
        f"{C0}.livenessProbe.successThreshold: Invalid value: 2: must be 1",
    ),
    "readiness never kills": (
        pod({"readinessProbe": {"tcpSocket": {"port": 1}, "terminationGracePeriodSeconds": 3}}),
        f"{C0}.readinessProbe.terminationGracePeriodSeconds: Invalid value: 3: "
        "must not be set for readinessProbes",
    ),
    "a probe's port has a range": (
        pod({"startupProbe": {"httpGet": {"port": 70000}}}),
        f"{C0}.startupProbe.httpGet.port: Invalid value: 70000: "
        "must be between 1 and 65535, inclusive",
    ),
    "an exec needs a command": (
        pod({"lifecycle": {"preStop": {"exec": {}}}}),
        f"{C0}.lifecycle.preStop.exec.command: Required value",
    ),
    "a hook may not sleep longer than the grace period": (
        pod({"lifecycle": {"preStop": {"sleep": {"seconds": 31}}}}),
        f"{C0}.lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than "
        "terminationGracePeriodSeconds (30)",
    ),
    "a variable has a name": (
        pod({"env": [{"value": "x"}]}),
        f"{C0}.env[0].name: Required value",
    ),
    "a variable comes from one place": (
        pod({"env": [{"name": "A", "valueFrom": {}}]}),
        f'{C0}.env[0].valueFrom: Invalid value: "": must specify one of: `fieldRef`, '
        "`resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
    ),
    "a value and a source exclude each other": (
        pod({"env": [{"name": "A", "value": "b",
                      "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}),
        f'{C0}.env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty',
    ),
    "only some fields can be variables": (
        pod({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels"}}}]}),
        f'{C0}.env[0].valueFrom.fieldRef.fieldPath: Unsupported value: "metadata.labels": '
        'supported values: "metadata.name", "metadata.namespace", "metadata.uid", '
        '"spec.nodeName", "spec.serviceAccountName", "status.hostIP", "status.hostIPs", '
        '"status.podIP", "status.podIPs"',
    ),
    "an unknown field is named": (
        pod({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.nope"}}}]}),
        f'{C0}.env[0].valueFrom.fieldRef.fieldPath: Invalid value: "spec.nope": '
        "error converting fieldPath: field label not supported: spec.nope",
    ),
    "a divisor fits the resource": (
        pod({"env": [{"name": "A", "valueFrom": {
            "resourceFieldRef": {"resource": "limits.cpu", "divisor": "2"}}}]}),
        f'{C0}.env[0].valueFrom.resourceFieldRef.divisor: Invalid value: "limits.cpu": '
        "only divisor's values 1m and 1 are supported with the cpu resource",
    ),
    "a host port is used once": (
        pod({"ports": [{"containerPort": 1, "hostPort": 2}, {"containerPort": 3, "hostPort": 2}]}),
        f'{C0}.ports[1].hostPort: Duplicate value: "TCP//2"',
    ),
    "on the host's network both ports are one": (
        pod({"ports": [{"containerPort": 1, "hostPort": 2}]}, hostNetwork=True),
        f"{C0}.ports[0].hostPort: Invalid value: 2: "
        "must match `containerPort` when `hostNetwork` is true",
    ),
    "a mount point is used once": (
        pod({"volumeMounts": [{"name": "v", "mountPath": "/x"}, {"name": "v", "mountPath": "/x"}]},
            volumes=[{"name": "v"}]),
        f'{C0}.volumeMounts[1].mountPath: Invalid value: "/x": must be unique',
    ),
    "a sub path stays inside": (
        pod({"volumeMounts": [{"name": "v", "mountPath": "/x", "subPath": "a/../b"}]},
            volumes=[{"name": "v"}]),
        f'{C0}.volumeMounts.subPath: Invalid value: "a/../b": must not contain \'..\'',
    ),
    "propagation back needs privilege": (
        pod({"volumeMounts": [{"name": "v", "mountPath": "/x",
                               "mountPropagation": "Bidirectional"}]},
            volumes=[{"name": "v"}]),
        f"{C0}.volumeMounts.mountPropagation: Forbidden: Bidirectional mount propagation is "
        "available only to privileged containers",
    ),
    "a volume has one source": (
        pod(volumes=[{"name": "v", "emptyDir": {}, "hostPath": {"path": "/x"}}]),
        "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type",
    ),
    "a volume's name is a label": (
        pod(volumes=[{"name": "a.b", "emptyDir": {}}]),
        'spec.volumes[0].name: Invalid value: "a.b": must not contain dots',
    ),
    "volumes have different names": (
        pod(volumes=[{"name": "v"}, {"name": "v"}]),
        'spec.volumes[1].name: Duplicate value: "v"',
    ),
    "a host path has a known type": (
        pod(volumes=[{"name": "v", "hostPath": {"path": "/x", "type": "Dir"}}]),
        'spec.volumes[0].hostPath.type: Unsupported value: "Dir": supported values: "", '
        '"BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", '
        '"Socket"',
    ),
    "a secret has a name and a mode": (
        pod(volumes=[{"name": "v", "secret": {"defaultMode": 512}}]),
        "[spec.volumes[0].secret.secretName: Required value, spec.volumes[0].secret.defaultMode: "
        "Invalid value: 512: must be a number between 0 and 0777 (octal), both inclusive]",
    ),
    "projected files do not overlap": (
        pod(volumes=[{"name": "v", "projected": {"sources": [
            {"secret": {"name": "s", "items": [{"key": "k", "path": "a"}]}},
            {"configMap": {"name": "m", "items": [{"key": "k", "path": "a"}]}}]}}]),
        'spec.volumes[0].projected: Invalid value: "m": conflicting duplicate paths',
    ),
    "an NFS path is absolute": (
        pod(volumes=[{"name": "v", "nfs": {"server": "s", "path": "x"}}]),
        'spec.volumes[0].nfs.path: Invalid value: "x": must be an absolute path',
    ),
    "extended resources cannot be overcommitted": (
        pod({"resources": {"limits": {"example.com/gpu": 2}, "requests": {"example.com/gpu": 1}}}),
        f'{C0}.resources.requests: Invalid value: "1": '
        "must be equal to example.com/gpu limit of 2",
    ),
    "a resource must be known": (
        pod({"resources": {"limits": {"gpu": 1}}}),
        f'[{C0}.resources.limits[gpu]: Invalid value: "gpu": must be a standard resource type or '
        f'fully qualified, {C0}.resources.limits[gpu]: Invalid value: "gpu": '
        f"must be a standard resource for containers, {C0}.resources.requests[gpu]: Invalid value: "
        f'"gpu": must be a standard resource type or fully qualified, '
        f'{C0}.resources.requests[gpu]: Invalid value: "gpu": '
        "must be a standard resource for containers]",
    ),
    "huge pages come whole and with memory": (
        pod({"resources": {"limits": {"hugepages-2Mi": "3Mi"}}}),
        f'[{C0}.resources.limits[hugepages-2Mi]: Invalid value: "3Mi": 3Mi is not positive '
        f"integer multiple of hugepages-2Mi, {C0}.resources.requests[hugepages-2Mi]: "
        'Invalid value: "3Mi": 3Mi is not positive integer multiple of hugepages-2Mi, '
        f"{C0}.resources: Forbidden: HugePages require cpu or memory]",
    ),
    "an escalation is allowed or not": (
        pod({"securityContext": {"allowPrivilegeEscalation": False, "privileged": True}}),
        f'{C0}.securityContext: Invalid value: {{"allowPrivilegeEscalation":false,'
        '"privileged":true}: cannot set `allowPrivilegeEscalation` to false and `privileged` '
        "to true",
    ),
    "a local profile has a path": (
        pod(securityContext={"seccompProfile": {"type": "Localhost"}}),
        "spec.securityContext.seccompProfile.localhostProfile: Required value: "
        "must be set when seccomp type is Localhost",
    ),
    "a user has a range": (
        pod(securityContext={"runAsUser": -1}),
        "spec.securityContext.runAsUser: Invalid value: -1: "
        "must be between 0 and 2147483647, inclusive",
    ),
    "namespaced sysctls need a namespace": (
        pod(hostNetwork=True,
            securityContext={"sysctls": [{"name": "net.ipv4.ip_forward", "value": "1"}]}),
        'spec.securityContext.sysctls[0].name: Invalid value: "net.ipv4.ip_forward": '
        "may not be specified when 'hostNetwork' is true",
    ),
    "a required term compares with label values": (
        pod(affinity={"nodeAffinity": {REQUIRED_TERMS: {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1", "2"]}]}]}}}),
        f"spec.affinity.nodeAffinity.{REQUIRED_TERMS}.nodeSelectorTerms[0].matchExpressions[0]"
        ".values: Required value: must be specified single value when `operator` is 'Lt' or 'Gt'",
    ),
    "a pod term needs a topology": (
        pod(affinity={"podAntiAffinity": {REQUIRED_TERMS: [{"labelSelector": {}}]}}),
        f"[spec.affinity.podAntiAffinity.{REQUIRED_TERMS}[0].topologyKey: Required value: can not "
        f"be empty, spec.affinity.podAntiAffinity.{REQUIRED_TERMS}[0].topologyKey: Invalid value: "
        '"": name part must be non-empty, '
        f"spec.affinity.podAntiAffinity.{REQUIRED_TERMS}[0].topologyKey: Invalid value: "
        '"": name part must consist of alphanumeric characters, \'-\', \'_\' or \'.\', and must '
        "start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or "
        "'123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')]",
    ),
    "only NoExecute tolerations end": (
        pod(tolerations=[{"key": "a", "effect": "NoSchedule", "tolerationSeconds": 1}]),
        'spec.tolerations[0].effect: Invalid value: "NoSchedule": effect must be \'NoExecute\' '
        "when `tolerationSeconds` is set",
    ),
    "spreading has a skew and an action": (
        pod(topologySpreadConstraints=[{"maxSkew": 0, "topologyKey": "zone",
                                        "whenUnsatisfiable": "Ignore", "labelSelector": {}}]),
        "[spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero, "
        'spec.topologySpreadConstraints[0].whenUnsatisfiable: Unsupported value: "Ignore": '
        'supported values: "DoNotSchedule", "ScheduleAnyway"]',
    ),
    "no name server is no DNS": (
        pod(dnsPolicy="None"),
        "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None",
    ),
    "name servers are addresses": (
        pod(dnsConfig={"nameservers": ["dns.example.com"]}),
        'spec.dnsConfig.nameservers[0]: Invalid value: "dns.example.com": '
        "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
    ),
    "a host alias has names": (
        pod(hostAliases=[{"ip": "192.0.2.1", "hostnames": ["a_b"]}]),
        f'spec.hostAliases[0].hostnames[0]: Invalid value: "a_b": {RFC_1123}',
    ),
    "a deadline is positive": (
        pod(activeDeadlineSeconds=0),
        "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive",
    ),
    "a gated pod has no node": (
        pod(schedulingGates=[{"name": "example.com/wait"}], nodeName="n"),
        "spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared",
    ),
    "debug containers come later": (
        pod(ephemeralContainers=[{"name": "d", "image": "x"}]),
        "spec.ephemeralContainers: Forbidden: cannot be set on create",
    ),
    "plain init containers have no probes": (
        pod(initContainers=[{"name": "i", "image": "x",
                             "livenessProbe": {"tcpSocket": {"port": 1}}}]),
        "spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers "
        "without restartPolicy=Always",
    ),
    "an init container has a name of its own": (
        pod(initContainers=[{"name": "c", "image": "x"}]),
        'spec.initContainers[0].name: Duplicate value: "c"',
    ),
    "a user namespace excludes the host's others": (
        pod(hostUsers=False, hostPID=True),
        "spec.HostPID: Forbidden: when `hostUsers` is false",
    ),
    "a pod asks for no less than its containers": (
        pod({"resources": {"requests": {"cpu": "2"}}},
            resources={"requests": {"cpu": "1"}, "limits": {"cpu": "3"}}),
        'spec.resources.requests[cpu]: Invalid value: "1": must be greater than or equal to '
        "aggregate container requests of 2",
    ),
    "a claim must be the pod's": (
        pod({"resources": {"claims": [{"name": "gpu"}]}}),
        f'{C0}.resources.claims[0]: Not found: "gpu": must be one of the names in '
        "pod.spec.resourceClaims which is empty",
    ),
    "a mirror pod has a node": (
        {**pod(), "metadata": {"name": "p", "annotations": {"kubernetes.io/config.mirror": "h"}}},
        'metadata.annotations[kubernetes.io/config.mirror]: Invalid value: "h": '
        "must set spec.nodeName if mirror pod annotation is set",
    ),
    "a restart rule needs a policy, an action and codes": (
        pod({"restartPolicyRules": [{"action": "Rest", "exitCodes": {"operator": "Gt"}}, {}]}),
        f"[{C0}.restartPolicy: Required value: must specify restartPolicy when restart rules are "
        f'used, {C0}.restartPolicyRules[0].action: Unsupported value: "Rest": supported values: '
        f'"Restart", "RestartAllContainers", {C0}.restartPolicyRules[0].exitCodes.operator: '
        f'Unsupported value: "Gt": supported values: "In", "NotIn", '
        f'{C0}.restartPolicyRules[1].action: Unsupported value: "": supported values: "Restart", '
        f'"RestartAllContainers", {C0}.restartPolicyRules[1].exitCodes: Required value: must be '
        "specified]",
    ),
    "there are few restart rules": (
        pod({"restartPolicy": "Always", "restartPolicyRules": 21 * [
            {"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}]}),
        f"{C0}.restartPolicyRules: Too many: 21: must have at most 20 items",
    ),
    "an init container that ends is never restarted for a new size": (
        pod(initContainers=[{"name": "i", "image": "x", "resizePolicy": [
            {"resourceName": "cpu", "restartPolicy": "RestartContainer"}]}]),
        "spec.initContainers[0].resizePolicy[0].restartPolicy: Invalid value: "
        "\"RestartContainer\": must not be set to 'RestartContainer' for non-sidecar "
        "initContainers",
    ),
    "files with variables are in an emptyDir": (
        pod({"env": [{"name": "A", "valueFrom": {"fileKeyRef": {
            "volumeName": "v", "path": "../f", "key": "A"}}}]},
            volumes=[{"name": "v", "secret": {"secretName": "s"}}]),
        f"[{C0}.env[0].valueFrom.fileKeyRef.path: Invalid value: \"../f\": must not contain '..', "
        f'{C0}.env[0].valueFrom.fileKeyRef.volumeName: Invalid value: "v": referenced volume must '
        "be of type emptyDir]",
    ),
    "the host's name is the host's": (
        pod(hostNetwork=True, hostnameOverride="h" * 65),
        "[spec.hostnameOverride: Forbidden: may not be specified when hostNetwork is true, "
        "spec.hostnameOverride: Too long: may not be more than 64 bytes]",
    ),
    "comparisons of taints are off": (
        pod(tolerations=[{"key": "a", "operator": "Gt", "value": "1"}]),
        'spec.tolerations[0].operator: Unsupported value: "Gt": supported values: "Equal", '
        '"Exists", "Lt", "Gt"',
    ),
    "block devices know no user namespace": (
        pod({"volumeDevices": [{"name": "v", "devicePath": "/d"}]}, hostUsers=False,
            volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]),
        f"{C0}.volumeDevices: Forbidden: when `hostUsers` is false",
    ),
    "shared processes are the pod's or the host's": (
        pod(hostPID=True, shareProcessNamespace=True),
        "spec.securityContext.shareProcessNamespace: Invalid value: true: ShareProcessNamespace "
        "and HostPID cannot both be enabled",
    ),
    "keys of a spread are there once": (
        {"metadata": {"name": "p", "labels": {"app": "a"}}, "spec": {
            "containers": [{"name": "c", "image": "x"}], "topologySpreadConstraints": [{
                "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": {"matchLabels": {"app": "a"}}, "matchLabelKeys": ["app"]}]}},
        'spec.topologySpreadConstraints[0][0]: Invalid value: "app": exists in both '
        "matchLabelKeys and labelSelector",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_wrong_pod_is_refused_in_upstreams_words(name: str, rig: Any) -> None:
    body, told = CASES[name]
    assert rig(POD).refusal(body) == told


def test_a_sidecar_may_have_probes_and_hooks(rig: Any) -> None:
    sidecar = {
        "name": "i", "image": "x", "restartPolicy": "Always",
        "readinessProbe": {"tcpSocket": {"port": 80}},
        "lifecycle": {"preStop": {"exec": {"command": ["true"]}}},
    }  # fmt: skip
    made = rig(POD).create(pod(initContainers=[sidecar]))
    assert made["spec"]["initContainers"][0]["readinessProbe"]["periodSeconds"] == 10


def test_everything_at_once_is_a_valid_pod(rig: Any) -> None:
    body = pod(
        {
            "ports": [{"name": "http", "containerPort": 80}],
            "env": [
                {"name": "A", "value": "b"},
                {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                {"name": "L", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a']"}}},
                {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
                {"name": "K", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            ],
            "envFrom": [{"prefix": "P_", "configMapRef": {"name": "m"}}],
            "volumeMounts": [{"name": "all", "mountPath": "/all", "subPath": "a/b"}],
            "volumeDevices": [{"name": "disk", "devicePath": "/dev/xvda"}],
            "resources": {"limits": {"cpu": "1", "memory": "1Gi", "example.com/gpu": "1"}},
            "securityContext": {"runAsUser": 1000, "capabilities": {"drop": ["ALL"]}},
        },
        volumes=[
            {"name": "all", "projected": {"sources": [
                {"downwardAPI": {"items": [
                    {"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
                {"configMap": {"name": "m"}}]}},
            {"name": "disk", "persistentVolumeClaim": {"claimName": "d"}},
            {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {"spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}}}}}},
        ],
        affinity={"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 1, "podAffinityTerm": {
                "topologyKey": "zone", "labelSelector": {"matchLabels": {"a": "b"}}}}]}},
        topologySpreadConstraints=[{"maxSkew": 1, "topologyKey": "zone", "minDomains": 2,
                                    "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}],
        tolerations=[{"operator": "Exists"}, {"key": "a", "value": "b", "effect": "NoExecute"}],
        dnsPolicy="None",
        dnsConfig={"nameservers": ["192.0.2.53"], "searches": ["a_b.example.com.", "."],
                   "options": [{"name": "ndots", "value": "2"}]},
        readinessGates=[{"conditionType": "example.com/ok"}],
    )  # fmt: skip
    made = rig(POD).create(body)
    assert made["status"] == {"phase": "Pending", "qosClass": "Guaranteed"}
