"""StatefulSets' claims and DaemonSets' surges."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.api import kinds
from sampan.api.meta import Json
from sampan.controllers import daemonset_plan as plans
from sampan.controllers.daemonset import Failures
from sampan.controllers.statefulset_claims import has_other_controller, owners_for
from sampan.controllers.statefulset_plan import View, step


def statefulset(**spec: Any) -> Json:
    claim: Json = {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}
    return {
        "metadata": {"name": "db", "namespace": "default", "uid": "set", "generation": 1},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "db"}},
            "template": {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": []}},
            "volumeClaimTemplates": [claim],
            **spec,
        },
    }


def member(ordinal: int, phase: str = "Running") -> Json:
    name = f"db-{ordinal}"
    return {
        "metadata": {"name": name, "namespace": "default", "uid": name, "labels": {"app": "db"}},
        "spec": {"containers": []},
        "status": {"phase": phase, "conditions": [{"type": "Ready", "status": "True"}]},
    }


def claim(*owners: Json) -> Json:
    return {"metadata": {"name": "data-db-0", "namespace": "default", "ownerReferences": owners}}


def owner(kind: str, name: str, uid: str) -> Json:
    version = "v1" if kind == "Pod" else "apps/v1"
    return {"apiVersion": version, "kind": kind, "name": name, "uid": uid, "controller": True}


@pytest.mark.parametrize(
    ("scaled", "deleted", "ordinal", "uids"),
    [
        ("Retain", "Retain", 0, None),
        ("Retain", "Delete", 0, ["set"]),
        ("Retain", "Delete", 5, ["set"]),
        ("Delete", "Retain", 0, None),
        ("Delete", "Retain", 5, ["db-5"]),
        ("Delete", "Delete", 0, ["set"]),
        ("Delete", "Delete", 5, ["db-5"]),
    ],
)
def test_claims_go_with_the_set_or_with_a_pod_that_is_scaled_away(
    scaled: str, deleted: str, ordinal: int, uids: list[str] | None
) -> None:
    policy = {"whenScaled": scaled, "whenDeleted": deleted}
    found = statefulset(persistentVolumeClaimRetentionPolicy=policy)
    pod = member(ordinal)
    owners = owners_for(found, pod, claim())
    assert (None if owners is None else [one["uid"] for one in owners]) == uids
    if owners:
        assert owners_for(found, pod, claim(*owners)) is None
        retained = owners_for(statefulset(), pod, claim(*owners))
        assert retained == []


def test_a_claim_that_somebody_else_manages_is_let_be() -> None:
    policy = {"whenDeleted": "Delete"}
    found = statefulset(persistentVolumeClaimRetentionPolicy=policy)
    other = owner("Restore", "r", "other")
    assert has_other_controller(found, member(0), claim(other))
    assert owners_for(found, member(0), claim(other)) is None
    both = claim(other, owner("StatefulSet", "db", "set"))
    assert owners_for(found, member(0), both) == [other]


def test_a_claim_of_an_earlier_set_of_the_name_goes_with_that() -> None:
    policy = {"whenDeleted": "Delete"}
    found = statefulset(persistentVolumeClaimRetentionPolicy=policy)
    assert owners_for(found, member(0), claim(owner("StatefulSet", "db", "old"))) is None


def test_the_policy_reaches_the_claims(play: Any) -> None:
    async def scene(world: Any) -> None:
        policy = {"whenDeleted": "Delete"}
        world.api.put(kinds.STATEFULSETS, statefulset(persistentVolumeClaimRetentionPolicy=policy))
        await world.settle()
        (made,) = world.api.all(kinds.PERSISTENTVOLUMECLAIMS)
        assert [one["kind"] for one in made["metadata"]["ownerReferences"]] == ["StatefulSet"]

    play(scene, "statefulset")


def revision(name: str) -> Json:
    return {"metadata": {"name": name}}


def test_a_parallel_set_does_not_wait_for_one_that_failed() -> None:
    found = statefulset(replicas=3, podManagementPolicy="Parallel")
    template = found["spec"]["template"]
    one = revision("r1")
    failed = member(0, "Failed")
    plan = step(View(found, [failed], one, one, template, template, 0.0))
    assert [pod["metadata"]["name"] for pod in plan.create] == ["db-1", "db-2"]
    assert plan.delete == [failed]


# DaemonSets.


def daemonset(**rolling: Any) -> Json:
    strategy = {"type": "RollingUpdate", "rollingUpdate": rolling}
    template: Json = {"metadata": {}, "spec": {"containers": []}}
    return {
        "metadata": {"name": "ds", "namespace": "default", "uid": "ds", "generation": 2},
        "spec": {"template": template, "updateStrategy": strategy},
    }


def daemon(node: str, hashed: str, *, ready: bool = True) -> Json:
    labels = {plans.HASH_LABEL: hashed}
    return {
        "metadata": {"name": f"{hashed}-{node}", "uid": f"{hashed}-{node}", "labels": labels},
        "spec": {"nodeName": node},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        },
    }


NODES = [{"metadata": {"name": name}, "spec": {}} for name in ("n1", "n2", "n3")]


def test_a_surge_waits_for_the_new_pods_that_are_not_up_yet() -> None:
    found = daemonset(maxSurge=1)
    placed = {name: [daemon(name, "old")] for name in ("n1", "n2", "n3")}
    plan = plans.roll(found, NODES, placed, ("new", 0.0))
    assert plan.create == ["n1"]
    placed["n1"].append(daemon("n1", "new", ready=False))
    assert plans.roll(found, NODES, placed, ("new", 0.0)) == plans.Plan()
    placed["n1"][1] = daemon("n1", "new")
    plan = plans.roll(found, NODES, placed, ("new", 0.0))
    assert (plan.create, [pod["metadata"]["name"] for pod in plan.delete]) == (["n2"], ["old-n1"])


def test_old_pods_that_are_down_are_replaced_without_counting() -> None:
    found = daemonset(maxSurge=1)
    placed = {"n1": [daemon("n1", "old", ready=False)], "n2": [daemon("n2", "old", ready=False)],
              "n3": [daemon("n3", "old")]}  # fmt: skip
    assert plans.roll(found, NODES, placed, ("new", 0.0)).create == ["n1", "n2", "n3"]


def test_while_surging_an_old_pod_that_is_not_ready_goes() -> None:
    placed = {"n1": [daemon("n1", "old", ready=False), daemon("n1", "new", ready=False)]}
    plan = plans.manage(daemonset(maxSurge=1), NODES[:1], placed, ("new", 0.0))
    assert [pod["metadata"]["name"] for pod in plan.delete] == ["old-n1"]


def test_pods_that_keep_failing_on_a_node_are_replaced_ever_later() -> None:
    failures, place = Failures(), ("ds", 1, "n1")
    assert failures.left(place, 100.0) == 0
    failures.note(place, 100.0)
    assert failures.left(place, 100.0) == 1
    failures.note(place, 101.0)
    assert failures.left(place, 101.0) == 2
    assert failures.left(("ds", 1, "n2"), 101.0) == 0
