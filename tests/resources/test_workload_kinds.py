"""apps, batch and autoscaling: rules, defaults and cells beyond the recorded ones."""

from __future__ import annotations

import copy
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.api.meta import Json
from sampan.resources.apps import CONTROLLERREVISION, DAEMONSET, DEPLOYMENT, REPLICASET, STATEFULSET
from sampan.resources.autoscaling import HORIZONTALPODAUTOSCALER, HORIZONTALPODAUTOSCALER_V1, scale
from sampan.resources.autoscaling.hpa_v1 import from_storage, to_storage
from sampan.resources.batch import CRONJOB, JOB, schedule

TEMPLATE: Json = {
    "metadata": {"labels": {"a": "b"}},
    "spec": {"containers": [{"name": "c", "image": "x:1"}]},
}
ENDING: Json = {"spec": {**TEMPLATE["spec"], "restartPolicy": "Never"}}


CLAIM_SPEC: Json = {
    "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}},
}  # fmt: skip


def workload(**spec: Any) -> Json:
    usual = {"selector": {"matchLabels": {"a": "b"}}, "template": copy.deepcopy(TEMPLATE)}
    return {"metadata": {"name": "w"}, "spec": usual | spec}


def job(**spec: Any) -> Json:
    return {"metadata": {"name": "j"}, "spec": {"template": copy.deepcopy(ENDING)} | spec}


def cron(**spec: Any) -> Json:
    usual: Json = {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": ENDING}}}
    return {"metadata": {"name": "c"}, "spec": copy.deepcopy(usual) | spec}


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"updateStrategy": {"rollingUpdate": {"maxSurge": 1}}},
         "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when "
         "maxUnavailable is non-zero"),
        ({"updateStrategy": {"rollingUpdate": {"maxUnavailable": 0}}},
         "spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when "
         "maxSurge is 0"),
        ({"selector": {}}, "spec.selector: Invalid value: {}: empty selector is invalid for "
                           "daemonset"),
    ],
)  # fmt: skip
def test_daemon_sets_refuse(rig: Any, spec: Json, says: str) -> None:
    assert rig(DAEMONSET).refusal(workload(**spec)) == says


def test_a_daemon_set_counts_the_generations_of_its_template(rig: Any) -> None:
    daemons = rig(DAEMONSET)
    note = "deprecated.daemonset.template.generation"
    assert daemons.create(workload())["metadata"]["annotations"][note] == "1"
    changed = daemons.patch("w", {"spec": {"template": {"metadata": {"labels": {"x": "y"}}}}})
    assert changed["metadata"]["annotations"][note] == "2"
    same = daemons.patch("w", {"spec": {"minReadySeconds": 3}})
    assert same["metadata"]["annotations"][note] == "2"


def test_a_stateful_set_gets_its_defaults(rig: Any) -> None:
    claim = {"metadata": {"name": "d"}, "spec": CLAIM_SPEC}
    made = rig(STATEFULSET).create(workload(serviceName="s", volumeClaimTemplates=[claim]))
    spec = made["spec"]
    assert spec["podManagementPolicy"] == "OrderedReady"
    assert spec["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}
    assert spec["volumeClaimTemplates"][0]["status"] == {"phase": "Pending"}
    assert spec["persistentVolumeClaimRetentionPolicy"] == {
        "whenDeleted": "Retain", "whenScaled": "Retain",
    }  # fmt: skip


def test_a_stateful_set_mounts_the_volumes_of_its_claims(rig: Any) -> None:
    template = copy.deepcopy(TEMPLATE)
    template["spec"]["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/d"}]
    claim = {"metadata": {"name": "data"}, "spec": CLAIM_SPEC}
    sets = rig(STATEFULSET)
    assert "volumeMounts[0].name: Not found" in sets.refusal(workload(template=template))
    assert sets.create(workload(template=template, volumeClaimTemplates=[claim]))


def test_a_stateful_set_may_not_change_its_service(rig: Any) -> None:
    sets = rig(STATEFULSET)
    sets.create(workload(serviceName="s"))
    refusal = sets.refusal_of_patch("w", {"spec": {"serviceName": "t"}})
    assert refusal.startswith("spec: Forbidden: updates to statefulset spec for fields other than")
    assert sets.patch("w", {"spec": {"replicas": 3}})["spec"]["replicas"] == 3


def test_counters_of_status_fit_together(rig: Any) -> None:
    sets = rig(REPLICASET)
    sets.create(workload())
    refusal = sets.refusal_of_patch(
        "w", {"status": {"replicas": 1, "readyReplicas": 2}}, sub="status"
    )
    says = "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas"
    assert refusal == says


def test_a_name_that_pods_cannot_have_is_warned_of() -> None:
    named = workload() | {"metadata": {"name": "a.b"}}
    (text,) = [t for t in DEPLOYMENT.warnings(named, None) if t.startswith("metadata.name")]
    assert text.endswith("a DNS label is recommended: [must not contain dots]")


def test_a_revision_shows_who_owns_it(rig: Any) -> None:
    owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "u"}
    meta = {"name": "r", "ownerReferences": [{**owner, "controller": True}]}
    revisions = rig(CONTROLLERREVISION)
    row = revisions.row(revisions.create({"metadata": meta, "data": {"x": 1}, "revision": 4}))
    assert (row["Controller"], row["Revision"]) == ("statefulset.apps/db", 4)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"template": TEMPLATE}, 'spec.template.spec.restartPolicy: Required value: valid values: '
                                 '"OnFailure", "Never"'),
        ({"completionMode": "Indexed", "parallelism": 1},
         "spec.completions: Required value: when completion mode is Indexed"),
        ({"backoffLimitPerIndex": 1}, "spec.backoffLimitPerIndex: Invalid value: 1: requires "
                                      "indexed completion mode"),
        ({"managedBy": "me"}, 'spec.managedBy: Invalid value: "me": must be a domain-prefixed path '
                              '(such as "acme.io/foo")'),
        ({"podFailurePolicy": {"rules": [{"action": "Ignore"}]}},
         "spec.podFailurePolicy.rules[0]: Invalid value: specifying one of OnExitCodes and "
         "OnPodConditions is required"),
        ({"podFailurePolicy": {"rules": [
            {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [0, 3, 2]}}]}},
         "[spec.podFailurePolicy.rules[0].onExitCodes.values[0]: Invalid value: 0: must not be 0 "
         "for the In operator, spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: "
         "[0,3,2]: must be ordered]"),
        ({"completionMode": "Indexed", "completions": 3,
          "successPolicy": {"rules": [{"succeededIndexes": "0-1", "succeededCount": 3}]}},
         "spec.successPolicy.rules[0].succeededCount: Invalid value: 3: must be less than or equal "
         "to 2 (the number of indexes in the specified succeededIndexes field)"),
    ],
)  # fmt: skip
def test_jobs_refuse(rig: Any, spec: Json, says: str) -> None:
    assert rig(JOB).refusal(job(**spec)) == says


def test_a_job_says_how_far_it_is(rig: Any) -> None:
    jobs = rig(JOB)
    made = jobs.create(job(completions=3))
    made["status"] = {"succeeded": 2, "startTime": "1970-01-01T00:00:10Z"}
    row = jobs.row(made, 75.0)
    assert (row["Status"], row["Completions"], row["Duration"]) == ("Running", "2/3", "65s")
    made["status"]["conditions"] = [{"type": "Complete", "status": "True"}]
    assert jobs.row(made, 75.0)["Status"] == "Complete"


def test_a_suspended_job_may_still_be_told_where_to_run(rig: Any) -> None:
    jobs = rig(JOB)
    jobs.create(job(suspend=True))
    jobs.patch("j", {"spec": {"template": {"spec": {"nodeSelector": {"a": "b"}}}}})
    jobs.patch("j", {"spec": {"suspend": False}})
    refusal = jobs.refusal_of_patch(
        "j", {"spec": {"template": {"spec": {"nodeSelector": {"a": "c"}}}}}
    )
    assert refusal.startswith("spec.template: Invalid value")


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"schedule": "61 * * * *"},
         'spec.schedule: Invalid value: "61 * * * *": end of range (61) above maximum (59): 61'),
        ({"schedule": "TZ=UTC 0 0 * * *"},
         'spec.schedule: Invalid value: "TZ=UTC 0 0 * * *": cannot use TZ or CRON_TZ in schedule, '
         "use timeZone field instead"),
        ({"timeZone": "Nowhere/City"}, 'spec.timeZone: Invalid value: "Nowhere/City": unknown time '
                                       "zone Nowhere/City"),
        ({"concurrencyPolicy": "Never"}, 'spec.concurrencyPolicy: Unsupported value: "Never": '
                                         'supported values: "Allow", "Forbid", "Replace"'),
    ],
)  # fmt: skip
def test_cron_jobs_refuse(rig: Any, spec: Json, says: str) -> None:
    assert rig(CRONJOB).refusal(cron(**spec)) == says


@pytest.mark.parametrize(
    ("text", "after", "due"),
    [
        ("*/5 * * * *", "2026-01-01T10:01", "2026-01-01T10:05"),
        ("0 0 * * 0", "2026-01-01T10:01", "2026-01-04T00:00"),
        ("30 4 1 feb *", "2026-03-01T00:00", "2027-02-01T04:30"),
        ("0 12 13 * fri", "2026-01-01T00:00", "2026-01-02T12:00"),
        ("@daily", "2026-12-31T23:59", "2027-01-01T00:00"),
        ("@every 1h30m", "2026-01-01T10:01", "2026-01-01T11:31"),
    ],
)
def test_a_schedule_knows_its_next_time(text: str, after: str, due: str) -> None:
    found = schedule.parse(text).following(datetime.fromisoformat(after))
    assert found == datetime.fromisoformat(due)


def test_a_schedule_that_never_comes_gives_none() -> None:
    assert schedule.parse("0 0 30 2 *").following(datetime(2026, 1, 1)) is None


def hpa(**spec: Any) -> Json:
    target = {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}
    return {"metadata": {"name": "h"}, "spec": {"scaleTargetRef": target, "maxReplicas": 3} | spec}


def test_an_autoscaler_looks_at_cpu_unless_told_otherwise(rig: Any) -> None:
    scalers = rig(HORIZONTALPODAUTOSCALER)
    made = scalers.create(hpa(behavior={"scaleDown": {"stabilizationWindowSeconds": 60}}))
    assert made["spec"]["behavior"]["scaleDown"]["selectPolicy"] == "Max"
    assert made["spec"]["behavior"]["scaleUp"]["stabilizationWindowSeconds"] == 0
    assert scalers.row(made)["Targets"] == "cpu: <unknown>/80%"


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"minReplicas": 4}, "spec.maxReplicas: Invalid value: 3: must be greater than or equal to "
                             "`minReplicas`"),
        ({"metrics": [{"type": "Pods"}]}, "spec.metrics[0].pods: Required value: must populate "
                                          "information for the given metric source"),
        ({"behavior": {"scaleUp": {"policies": [
            {"type": "Pods", "value": 0, "periodSeconds": 1}]}}},
         "spec.behavior.scaleUp.policies[0].value: Invalid value: 0: must be greater than zero"),
    ],
)  # fmt: skip
def test_autoscalers_refuse(rig: Any, spec: Json, says: str) -> None:
    assert rig(HORIZONTALPODAUTOSCALER).refusal(hpa(**spec)) == says


AMOUNTS = st.sampled_from(["1", "500m", "2Gi"])
METRICS = st.one_of(
    st.integers(1, 100).map(
        lambda percent: {
            "type": "Resource",
            "resource": {
                "name": "cpu",
                "target": {"type": "Utilization", "averageUtilization": percent},
            },
        }
    ),
    AMOUNTS.map(
        lambda amount: {
            "type": "Pods",
            "pods": {
                "metric": {"name": "m"},
                "target": {"type": "AverageValue", "averageValue": amount},
            },
        }
    ),
    AMOUNTS.map(
        lambda amount: {
            "type": "External",
            "external": {
                "metric": {"name": "q", "selector": {"matchLabels": {"a": "b"}}},
                "target": {"type": "Value", "value": amount},
            },
        }
    ),
)


@given(st.lists(METRICS, min_size=1, max_size=4))
def test_nothing_of_an_autoscaler_is_lost_in_the_old_version(metrics: list[Json]) -> None:
    stored = hpa(metrics=metrics, minReplicas=1) | {"status": {"currentMetrics": None}}
    back = to_storage(from_storage(copy.deepcopy(stored)))
    assert sorted(map(repr, back["spec"]["metrics"])) == sorted(map(repr, metrics))
    assert HORIZONTALPODAUTOSCALER_V1.validate(from_storage(stored), None, "") == []


def test_a_scale_shows_and_sets_the_replicas() -> None:
    obj = workload(replicas=2) | {"status": {"replicas": 1}}
    shown = scale.of(obj)
    assert (shown["spec"], shown["status"]) == ({"replicas": 2}, {"replicas": 1, "selector": "a=b"})
    scale.onto(obj, {"spec": {"replicas": 5}})
    assert obj["spec"]["replicas"] == 5


def test_a_revision_is_renumbered_but_keeps_what_it_remembers() -> None:
    old = {"metadata": {"name": "r"}, "data": {"x": 1}, "revision": 4}
    assert CONTROLLERREVISION.validate({**old, "revision": 5}, old, "") == []
    assert CONTROLLERREVISION.validate({**old, "data": {"x": 2}}, old, "")
    assert CONTROLLERREVISION.validate_patch({**old, "revision": 5}, old, "")
    assert CONTROLLERREVISION.validate_patch(old, old, "") == []
