"""A pod from its defaults through its updates and subresources to its row in the table."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.api.meta import Json
from sampan.resources.core.pod import phase
from sampan.resources.core.pod.defaults import pull_policy
from sampan.resources.core.pod.levels import container_requests, qos_class
from sampan.resources.core.pod.resource import POD, grace

NOW = 1_700_000_000.0


def pod(**spec: Any) -> Json:
    return {
        "metadata": {"name": "p", "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "c", "image": "x:1"}], **spec},
    }


def stored(status: Json, **spec: Any) -> Json:
    return {**pod(**spec), "status": status}


def test_pull_policy_follows_the_tag() -> None:
    policies = {
        "busybox": "Always", "busybox:latest": "Always", "host:5000/x": "Always",
        "x/y/z:1": "IfNotPresent", "host:5000/x:1": "IfNotPresent", " x": "IfNotPresent",
        "x@sha256:" + "0" * 64: "IfNotPresent", "localhost/host": "Always", "UPPER": "IfNotPresent",
    }  # fmt: skip
    assert {image: pull_policy(image) for image in policies} == policies


def test_on_the_hosts_network_ports_are_the_hosts(rig: Any) -> None:
    container = {"name": "c", "image": "x", "ports": [{"containerPort": 80}]}
    made = rig(POD).create(pod(hostNetwork=True, containers=[container]))
    assert made["spec"]["containers"][0]["ports"][0]["hostPort"] == 80


def test_match_label_keys_become_a_selector(rig: Any) -> None:
    term = {
        "topologyKey": "zone", "labelSelector": {}, "matchLabelKeys": ["app"],
        "mismatchLabelKeys": ["tenant"],
    }  # fmt: skip
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    made = rig(POD).create(pod(affinity={"podAffinity": {required: [term]}}))
    got = made["spec"]["affinity"]["podAffinity"][required][0]["labelSelector"]
    assert got == {"matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]}


def test_a_gated_pod_says_so(rig: Any) -> None:
    made = rig(POD).create(pod(schedulingGates=[{"name": "example.com/wait"}]))
    assert made["status"]["conditions"][0]["reason"] == "SchedulingGated"
    assert rig(POD).row(made)["Status"] == "SchedulingGated"


def test_sidecars_count_beside_what_comes_after_them() -> None:
    def asks(cpu: str, **more: Any) -> Json:
        return {"resources": {"requests": {"cpu": cpu}}, **more}

    spec = {
        "initContainers": [asks("3"), asks("1", restartPolicy="Always"), asks("2")],
        "containers": [asks("1")],
    }
    assert str(container_requests(spec)["cpu"]) == "3"
    spec["containers"].append(asks("2"))
    assert str(container_requests(spec)["cpu"]) == "4"


@pytest.mark.parametrize(
    ("resources", "qos"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1"}, "requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1"}, "requests": {"cpu": "1", "memory": "1"}},
         "Guaranteed"),
        ({"limits": {"cpu": "1", "memory": "2"}, "requests": {"cpu": "1", "memory": "1"}},
         "Burstable"),
        ({"requests": {"example.com/gpu": "1"}, "limits": {"example.com/gpu": "1"}}, "BestEffort"),
    ],
)  # fmt: skip
def test_quality_of_service(resources: Json, qos: str) -> None:
    assert qos_class({"containers": [{"resources": resources}]}) == qos


@given(st.lists(st.sampled_from(["", "1", "2"]), min_size=1, max_size=4))
def test_a_pod_is_guaranteed_only_if_every_container_is(amounts: list[str]) -> None:
    def of(amount: str) -> Json:
        held = {"cpu": amount, "memory": amount} if amount else {}
        return {"resources": {"limits": held, "requests": held}}

    expected = "Guaranteed" if all(amounts) else "Burstable" if any(amounts) else "BestEffort"
    assert qos_class({"containers": [of(amount) for amount in amounts]}) == expected


def test_image_and_tolerations_may_change(rig: Any) -> None:
    pods = rig(POD)
    pods.create(pod(tolerations=[{"key": "a", "operator": "Exists", "effect": "NoExecute"}]))
    pods.patch("p", {"spec": {"containers": [{"name": "c", "image": "x:2"}]}}, strategic=True)
    more = [
        {"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5},
        {"key": "b", "operator": "Exists"},
    ]
    changed = pods.patch("p", {"spec": {"tolerations": more}})
    assert len(changed["spec"]["tolerations"]) == 2
    told = pods.refusal_of_patch("p", {"spec": {"tolerations": more[:1]}})
    assert told == (
        "spec.tolerations: Forbidden: existing toleration can not be modified except its "
        "tolerationSeconds"
    )


def test_other_changes_show_the_difference(rig: Any) -> None:
    pods = rig(POD)
    pods.create(pod())
    told = pods.refusal_of_patch("p", {"spec": {"restartPolicy": "Never"}})
    assert told.startswith("spec: Forbidden: pod updates may not change fields other than `spec.co")
    assert '- "RestartPolicy": "Always",\n+ "RestartPolicy": "Never",\n' in told


def test_a_gated_pod_may_be_narrowed_down(rig: Any) -> None:
    pods = rig(POD)
    pods.create(pod(schedulingGates=[{"name": "a"}, {"name": "b"}], nodeSelector={"a": "b"}))
    pods.patch("p", {"spec": {"nodeSelector": {"c": "d"}, "schedulingGates": [{"name": "a"}]}})
    told = pods.refusal_of_patch("p", {"spec": {"nodeSelector": {"a": "x"}}})
    assert told == (
        'spec.nodeSelector: Invalid value: {"a":"x","c":"d"}: only additions to spec.nodeSelector '
        "are allowed (no mutations or deletions)"
    )
    told = pods.refusal_of_patch("p", {"spec": {"schedulingGates": [{"name": "z"}]}})
    assert told == (
        "spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new "
        "scheduling gate 'z'"
    )


def test_debug_containers_are_added_and_then_stay(rig: Any) -> None:
    pods = rig(POD)
    pods.create(pod())
    debug = {"name": "d", "image": "busybox", "targetContainerName": "c"}
    body = {"spec": {"ephemeralContainers": [debug], "nodeName": "elsewhere"}}
    changed = pods.patch("p", body, sub="ephemeralcontainers")
    assert changed["spec"]["ephemeralContainers"][0]["imagePullPolicy"] == "Always"
    assert "nodeName" not in changed["spec"]
    told = pods.refusal_of_patch(
        "p", {"spec": {"ephemeralContainers": None}}, sub="ephemeralcontainers"
    )
    assert told == (
        'spec.ephemeralContainers: Forbidden: existing ephemeral containers "d" may not be '
        "removed\n"
    )
    bad = {"name": "e", "image": "x", "ports": [{"containerPort": 1}], "targetContainerName": "z"}
    told = pods.refusal_of_patch(
        "p", {"spec": {"ephemeralContainers": [debug, bad]}}, sub="ephemeralcontainers"
    )
    assert 'spec.ephemeralContainers[1].targetContainerName: Not found: "z"' in told
    assert "spec.ephemeralContainers[1].ports: Forbidden: cannot be set for an Ephemeral" in told


def test_resize_changes_cpu_and_memory_only(rig: Any) -> None:
    pods = rig(POD)
    container = {"name": "c", "image": "x:1", "resources": {"requests": {"cpu": "1"}}}
    pods.create(pod(containers=[container]))

    def patch(resources: Json) -> Json:
        return {"spec": {"containers": [{"name": "c", "resources": resources}]}}

    changed = pods.patch("p", patch({"requests": {"cpu": "2"}}), sub="resize", strategic=True)
    assert changed["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "2"}
    told = pods.refusal_of_patch(
        "p", patch({"requests": {"cpu": None}}), sub="resize", strategic=True
    )
    assert "Pod QOS Class may not change as a result of resizing" in told
    assert "spec.containers[0].resources.requests: Forbidden: resource requests cannot be" in told


def test_a_resize_neither_moves_nor_renames_containers(rig: Any) -> None:
    pods = rig(POD)
    pods.create(pod(containers=[{"name": "a", "image": "x:1"}, {"name": "b", "image": "x:1"}]))
    swapped = [{"name": "b", "image": "x:1"}, {"name": "a", "image": "x:1"}]
    told = pods.refusal_of_patch("p", {"spec": {"containers": swapped}}, sub="resize")
    assert "spec.containers[0].name: Forbidden: containers may not be renamed or reordered" in told
    told = pods.refusal_of_patch("p", {"spec": {"containers": swapped[:1]}}, sub="resize")
    assert told == ("spec.containers: Forbidden: containers may not be added or removed on resize")


def test_a_whole_pod_is_resized_too(rig: Any) -> None:
    pods = rig(POD)
    pods.create(pod(resources={"requests": {"cpu": "1"}}))
    changed = pods.patch("p", {"spec": {"resources": {"requests": {"cpu": "2"}}}}, sub="resize")
    assert changed["spec"]["resources"] == {"requests": {"cpu": "2"}}
    told = pods.refusal_of_patch("p", {"spec": {"resources": None}}, sub="resize")
    assert "spec.resources: Forbidden: pod-level resources cannot be removed" in told
    more = {"requests": {"hugepages-2Mi": "2Mi"}, "limits": {"hugepages-2Mi": "2Mi"}}
    told = pods.refusal_of_patch("p", {"spec": {"resources": more}}, sub="resize")
    assert "spec: Forbidden: only cpu and memory resources are mutable at pod-level" in told


def test_static_pods_are_told_only_that(rig: Any) -> None:
    pods = rig(POD)
    made = pod(nodeName="n")
    made["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "hash"}
    pods.create(made)
    told = pods.refusal_of_patch("p", {"spec": {"containers": []}}, sub="resize")
    assert told.endswith("[]: Forbidden: static pods cannot be resized")
    told = pods.refusal_of_patch(
        "p", {"spec": {"ephemeralContainers": [{"name": "C"}]}}, sub="ephemeralcontainers"
    )
    assert told.endswith("[]: Forbidden: static pods do not support ephemeral containers")


def test_status_keeps_the_class_and_checks_addresses(rig: Any) -> None:
    pods = rig(POD)
    pods.create(pod())
    changed = pods.patch("p", {"status": {"podIP": "10.0.0.1", "qosClass": None}}, sub="status")
    assert changed["status"]["podIPs"] == [{"ip": "10.0.0.1"}]
    assert changed["status"]["qosClass"] == "BestEffort"
    told = pods.refusal_of_patch(
        "p", {"status": {"podIPs": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}]}}, sub="status"
    )
    assert "may specify no more than one IP for each IP family" in told


def test_generations_that_a_client_does_not_know_stay(rig: Any) -> None:
    pods = rig(POD)
    pods.create(pod())
    ready = {"type": "Ready", "status": "True"}
    status = {"observedGeneration": 3, "conditions": [{**ready, "observedGeneration": 2}]}
    pods.patch("p", {"status": status}, sub="status")
    forgotten = {"observedGeneration": None, "conditions": [ready]}
    changed = pods.patch("p", {"status": forgotten}, sub="status")["status"]
    assert changed["observedGeneration"] == 3
    assert changed["conditions"][0]["observedGeneration"] == 2


def test_a_bound_pod_is_nominated_nowhere(rig: Any) -> None:
    pods = rig(POD)
    pods.create(pod(nodeName="n"))
    told = pods.refusal_of_patch("p", {"status": {"nominatedNodeName": "m"}}, sub="status")
    assert told == (
        "status.nominatedNodeName: Forbidden: may not be set on pods that are already bound to "
        "a node"
    )


@pytest.mark.parametrize(
    ("code", "again"),
    [(0, False), (1, False), (42, True)],
)
def test_rules_tell_which_container_may_start_again(rig: Any, code: int, again: bool) -> None:
    rule = {"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}
    container = {
        "name": "c", "image": "x:1", "restartPolicy": "Never", "restartPolicyRules": [rule],
    }  # fmt: skip
    pods = rig(POD)
    pods.create(pod(containers=[container]))
    entry = {"name": "c", "ready": False}
    ended = {**entry, "state": {"terminated": {"exitCode": code}}}
    pods.patch("p", {"status": {"containerStatuses": [ended]}}, sub="status")
    body = {"status": {"containerStatuses": [{**entry, "state": {"running": {}}}]}}
    if again:
        assert pods.patch("p", body, sub="status")
    else:
        told = pods.refusal_of_patch("p", body, sub="status")
        assert "may not be transitioned to non-terminated state" in told


def test_an_old_profile_becomes_a_field(rig: Any) -> None:
    made = pod()
    key = "container.apparmor.security.beta.kubernetes.io/c"
    made["metadata"]["annotations"] = {key: "localhost/mine"}
    made = rig(POD).create(made)
    assert made["spec"]["containers"][0]["securityContext"] == {
        "appArmorProfile": {"type": "Localhost", "localhostProfile": "mine"}
    }
    assert POD.warnings(made, None) == [
        f'metadata.annotations[{key}]: deprecated since v1.30; use the "appArmorProfile" field '
        "instead"
    ]


def test_a_name_that_is_no_host_name_is_remarked_on(rig: Any) -> None:
    made = pod()
    made["metadata"]["name"] = "a.b"
    (told,) = POD.warnings(rig(POD).create(made), None)
    assert told.startswith("metadata.name: this is used in the Pod's hostname, which can result")


def test_limits_of_all_containers_limit_the_pod(rig: Any) -> None:
    container = {"name": "c", "image": "x", "resources": {"limits": {"cpu": "2", "memory": "1Gi"}}}
    made = rig(POD).create(pod(containers=[container], resources={"requests": {"cpu": "2"}}))
    assert made["spec"]["resources"]["limits"] == {"cpu": "2", "memory": "1Gi"}


def test_what_ended_for_good_stays_ended(rig: Any) -> None:
    pods = rig(POD)
    pods.create(pod(restartPolicy="Never"))
    ended = {"name": "c", "state": {"terminated": {"exitCode": 0}}, "ready": False}
    pods.patch("p", {"status": {"containerStatuses": [ended]}}, sub="status")
    running = {"name": "c", "state": {"running": {}}, "ready": True}
    told = pods.refusal_of_patch("p", {"status": {"containerStatuses": [running]}}, sub="status")
    assert told == (
        "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated "
        "state"
    )


def test_grace_is_for_pods_that_run_somewhere() -> None:
    there = {"nodeName": "n", "terminationGracePeriodSeconds": 7}
    assert grace(stored({"phase": "Pending"}), None) == 0
    assert grace(stored({"phase": "Running"}, **there), None) == 7
    assert grace(stored({"phase": "Running"}, **there), 3) == 3
    assert grace(stored({"phase": "Running"}, **there), -5) == 1
    assert grace(stored({"phase": "Succeeded"}, **there), 3) == 0


def state(**more: Any) -> Json:
    name = more.pop("name", "c")
    return {"name": name, "state": more.pop("state", {}), "restartCount": 0, **more}


READY = {"type": "Ready", "status": "True"}
RUNNING = state(state={"running": {}}, ready=True)
WORDS: dict[str, tuple[Json, Json, str, str]] = {
    "pending": ({"phase": "Pending"}, {}, "0/1", "Pending"),
    "running": ({"phase": "Running", "containerStatuses": [RUNNING]}, {}, "1/1", "Running"),
    "waiting": (
        {"phase": "Pending",
         "containerStatuses": [state(state={"waiting": {"reason": "ImagePullBackOff"}})]},
        {}, "0/1", "ImagePullBackOff"),
    "ended": (
        {"phase": "Succeeded",
         "containerStatuses": [state(state={"terminated": {"reason": "Completed"}})]},
        {}, "0/1", "Completed"),
    "ended without reason": (
        {"phase": "Failed", "containerStatuses": [state(state={"terminated": {"exitCode": 3}})]},
        {}, "0/1", "ExitCode:3"),
    "killed": (
        {"phase": "Failed",
         "containerStatuses": [state(state={"terminated": {"exitCode": 137, "signal": 9}})]},
        {}, "0/1", "Signal:9"),
    "evicted": ({"phase": "Failed", "reason": "Evicted"}, {}, "0/1", "Evicted"),
    "first init container runs": (
        {"phase": "Pending", "initContainerStatuses": [state(name="i", state={"running": {}})]},
        {"initContainers": [{"name": "i"}, {"name": "j"}]}, "0/1", "Init:0/2"),
    "second init container fails": (
        {"phase": "Pending", "initContainerStatuses": [
            state(name="i", state={"terminated": {"exitCode": 0}}),
            state(name="j", state={"waiting": {"reason": "CrashLoopBackOff"}})]},
        {"initContainers": [{"name": "i"}, {"name": "j"}]}, "0/1", "Init:CrashLoopBackOff"),
    "init container failed": (
        {"phase": "Failed", "initContainerStatuses": [
            state(name="i", state={"terminated": {"exitCode": 1}})]},
        {"initContainers": [{"name": "i"}]}, "0/1", "Init:ExitCode:1"),
    "sidecar counts as ready": (
        {"phase": "Running", "containerStatuses": [RUNNING],
         "conditions": [{"type": "Initialized", "status": "True"}],
         "initContainerStatuses": [
             state(name="s", state={"running": {}}, started=True, ready=True)]},
        {"initContainers": [{"name": "s", "restartPolicy": "Always"}]}, "2/2", "Running"),
    "one of two has ended": (
        {"phase": "Running", "conditions": [READY], "containerStatuses": [
            state(state={"terminated": {"reason": "Completed"}}), RUNNING]},
        {"containers": [{"name": "c"}, {"name": "d"}]}, "1/2", "Running"),
    "one of two has ended, not ready": (
        {"phase": "Running", "containerStatuses": [
            state(state={"terminated": {"reason": "Completed"}}), RUNNING]},
        {"containers": [{"name": "c"}, {"name": "d"}]}, "1/2", "NotReady"),
}  # fmt: skip


@pytest.mark.parametrize("name", WORDS)
def test_the_table_finds_one_word(name: str, rig: Any) -> None:
    status, spec, ready, word = WORDS[name]
    row = rig(POD).row(stored(status, **spec), NOW)
    assert (row["Ready"], row["Status"]) == (ready, word)


def test_a_deleted_pod_terminates_until_it_has_ended(rig: Any) -> None:
    going = stored({"phase": "Running"})
    going["metadata"]["deletionTimestamp"] = "2023-01-01T00:00:00Z"
    assert rig(POD).row(going)["Status"] == "Terminating"
    going["status"]["reason"] = "NodeLost"
    assert rig(POD).row(going)["Status"] == "Unknown"
    going["status"] = {"phase": "Succeeded"}
    assert rig(POD).row(going)["Status"] == "Succeeded"
    assert phase.row_conditions(going)[0]["reason"] == "Succeeded"


def test_restarts_tell_how_long_ago(rig: Any) -> None:
    last = {"terminated": {"finishedAt": "2023-11-14T22:12:20Z"}}
    entry = state(state={"running": {}}, restartCount=3, lastState=last)
    row = rig(POD).row(stored({"phase": "Running", "containerStatuses": [entry]}), NOW)
    assert row["Restarts"] == "3 (60s ago)"


def test_warnings_name_what_is_odd() -> None:
    container = {
        "name": "c", "image": "x", "env": [{"name": "A", "value": "1"}, {"name": "A"}],
        "ports": [{"containerPort": 80, "protocol": "TCP", "name": "h"},
                  {"containerPort": 80, "protocol": "TCP", "name": "h"}],
    }  # fmt: skip
    body = pod(
        containers=[container], nodeSelector={"beta.kubernetes.io/os": "linux"},
        volumes=[{"name": "v", "gitRepo": {"repository": "r"}}],
        imagePullSecrets=[{"name": ""}],
        topologySpreadConstraints=[{"topologyKey": "zone"}],
    )  # fmt: skip
    first, second = "spec.containers[0].ports[0]", "spec.containers[0].ports[1]"
    assert POD.warnings(body, None) == [
        'spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" '
        "instead",
        "spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching "
        "no pod",
        "spec.volumes[0].gitRepo: deprecated in v1.11, and disabled by default in v1.33+",
        'spec.imagePullSecrets[0].name: invalid empty name ""',
        'spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when '
        "using apply",
        f"{second}: duplicate port definition with {first}",
        f'{second}: duplicate port name "h" with {first}, services and probes that select ports '
        f"by name will use {first}",
    ]
