"""What the levels of the Pod Security Standards let pass, and in which words they complain."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.api.meta import Json
from sampan.resources.podsecurity import policy
from sampan.resources.podsecurity.policy import NEWEST, Level, Policy, Standard
from sampan.resources.podsecurity.table import complaints

KEY = "pod-security.kubernetes.io/"
HARD: Json = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def pod(*contexts: Json, **spec: Any) -> Json:
    """One container for each context."""
    held = [{"name": f"c{at}", "securityContext": each} for at, each in enumerate(contexts)]
    return {"containers": held, **spec}


def told(level: Level, spec: Json, minor: int = NEWEST, **annotations: str) -> list[str]:
    metadata = {"annotations": {key.replace("__", "/"): v for key, v in annotations.items()}}
    return [str(each) for each in complaints(Standard(level, minor), metadata, spec)]


def test_privileged_lets_everything_pass() -> None:
    assert told(Level.PRIVILEGED, pod({"privileged": True}, hostNetwork=True)) == []


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (pod({}), []),
        (
            pod({"privileged": True}, {}, {"privileged": True}),
            ['privileged (containers "c0", "c2" must not set securityContext.privileged=true)'],
        ),
        (
            pod({}, hostNetwork=True, hostPID=True),
            ["host namespaces (hostNetwork=true, hostPID=true)"],
        ),
        (
            pod({}, volumes=[{"name": "v", "hostPath": {"path": "/"}}]),
            ['hostPath volumes (volume "v")'],
        ),
        (
            pod({"capabilities": {"add": ["SYS_ADMIN", "CHOWN", "NET_RAW"]}}),
            [
                'non-default capabilities (container "c0" must not include "NET_RAW", '
                '"SYS_ADMIN" in securityContext.capabilities.add)'
            ],
        ),
        (
            {"containers": [{"name": "a", "ports": [{"hostPort": 80}, {"hostPort": 443}]}]},
            ['hostPort (container "a" uses hostPorts 443, 80)'],
        ),
        (
            {"containers": [{"name": "a", "livenessProbe": {"httpGet": {"host": "h"}}}]},
            [
                'probe or lifecycle host (container "a" uses probe or lifecycle host "h")',
            ],
        ),
        (
            pod({"procMount": "Unmasked"}),
            ['procMount (container "c0" must not set securityContext.procMount to "Unmasked")'],
        ),
        (pod({"procMount": "Unmasked"}, hostUsers=False), []),
        (
            pod(
                {"seLinuxOptions": {"type": "spc_t", "role": "r"}},
                securityContext={"seLinuxOptions": {"user": "u"}},
            ),
            [
                'seLinuxOptions (pod and container "c0" set forbidden '
                'securityContext.seLinuxOptions: type "spc_t"; user may not be set; '
                "role may not be set)"
            ],
        ),
        (
            pod({"seccompProfile": {"type": "Unconfined"}}),
            [
                'seccompProfile (container "c0" must not set '
                'securityContext.seccompProfile.type to "Unconfined")'
            ],
        ),
        (
            pod({"appArmorProfile": {"type": "Unconfined"}}),
            [
                'forbidden AppArmor profile (container "c0" must not set AppArmor profile type '
                'to "Unconfined")'
            ],
        ),
        (
            pod({}, securityContext={"sysctls": [{"name": "net.core.somaxconn"}]}),
            ["forbidden sysctls (net.core.somaxconn)"],
        ),
        (
            pod({"windowsOptions": {"hostProcess": True}}),
            [
                'hostProcess (container "c0" must not set '
                "securityContext.windowsOptions.hostProcess=true)"
            ],
        ),
    ],
)
def test_baseline_closes_known_ways_out(spec: Json, says: list[str]) -> None:
    assert told(Level.BASELINE, spec) == says


def test_annotations_of_old_are_looked_at_as_well() -> None:
    key = "container.apparmor.security.beta.kubernetes.io"
    notes = {f"{key}__a": "unconfined", f"{key}__b": "runtime/default"}
    assert told(Level.BASELINE, pod({}), **notes) == [
        "forbidden AppArmor profile (annotation must not set AppArmor profile type to "
        f'"{key}/a="unconfined"")'
    ]
    seccomp = {"seccomp.security.alpha.kubernetes.io__pod": "unconfined"}
    assert told(Level.BASELINE, pod({}), 18, **seccomp) == [
        "seccompProfile (forbidden annotation "
        'seccomp.security.alpha.kubernetes.io/pod="unconfined")'
    ]
    assert told(Level.BASELINE, pod({}), 19, **seccomp) == []


def test_restricted_wants_to_be_told() -> None:
    lead = 'container "c0" must set securityContext.'
    assert told(Level.RESTRICTED, pod({})) == [
        f"allowPrivilegeEscalation != false ({lead}allowPrivilegeEscalation=false)",
        f'unrestricted capabilities ({lead}capabilities.drop=["ALL"])',
        f"runAsNonRoot != true (pod or {lead}runAsNonRoot=true)",
        f'seccompProfile (pod or {lead}seccompProfile.type to "RuntimeDefault" or "Localhost")',
    ]
    assert told(Level.RESTRICTED, pod(HARD)) == []


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (
            pod(HARD, HARD | {"runAsUser": 0}),
            ['runAsUser=0 (container "c1" must not set runAsUser=0)'],
        ),
        (pod(HARD | {"runAsUser": 0, "runAsNonRoot": False}, hostUsers=False), []),
        (
            pod(HARD | {"runAsNonRoot": False}, securityContext={"runAsNonRoot": False}),
            [
                'runAsNonRoot != true (pod and container "c0" must not set '
                "securityContext.runAsNonRoot=false)"
            ],
        ),
        (
            pod(HARD, volumes=[{"name": "a", "nfs": {}}, {"name": "b", "hostPath": {}}]),
            [
                'restricted volume types (volumes "a", "b" use restricted volume types '
                '"hostPath", "nfs")'
            ],
        ),
        (
            pod(HARD | {"capabilities": {"add": ["NET_BIND_SERVICE", "CHOWN"]}}),
            [
                'unrestricted capabilities (container "c0" must set '
                'securityContext.capabilities.drop=["ALL"]; container "c0" must not include '
                '"CHOWN" in securityContext.capabilities.add)'
            ],
        ),
        (pod({"runAsNonRoot": True}, os={"name": "windows"}), []),
    ],
)
def test_restricted_goes_beyond_baseline(spec: Json, says: list[str]) -> None:
    assert told(Level.RESTRICTED, spec) == says


def test_a_version_is_judged_by_what_it_knew() -> None:
    spec = pod(HARD, securityContext={"sysctls": [{"name": "net.ipv4.tcp_rmem"}]})
    assert told(Level.BASELINE, spec, 31) == ["forbidden sysctls (net.ipv4.tcp_rmem)"]
    assert told(Level.BASELINE, spec, 32) == []
    assert told(Level.RESTRICTED, pod({}), 7) == [
        'runAsNonRoot != true (pod or container "c0" must set securityContext.runAsNonRoot=true)'
    ]


def test_labels_say_the_policy() -> None:
    labels = {f"{KEY}enforce": "baseline", f"{KEY}enforce-version": "v1.30"}
    baseline = Standard(Level.BASELINE, 30)
    assert policy.of(labels) == (Policy(baseline, Standard(), baseline), [])
    assert str(baseline) == "baseline:v1.30"
    assert str(Standard()) == "privileged:latest"
    assert policy.of({"app": "x"}) == (Policy(), [])


def test_a_label_that_says_nothing_sensible_is_strict() -> None:
    found, errors = policy.of({f"{KEY}enforce": "bogus", f"{KEY}warn-version": "1.30"})
    assert found == Policy(Standard(Level.RESTRICTED))
    assert [str(error) for error in errors] == [
        f'metadata.labels[{KEY}enforce]: Invalid value: "bogus": must be one of privileged, '
        "baseline, restricted",
        f'metadata.labels[{KEY}warn-version]: Invalid value: "1.30": must be "latest" or "v1.x"',
    ]
