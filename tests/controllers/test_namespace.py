"""What a namespace tells while it is emptied."""

from __future__ import annotations

from collections import Counter

from sampan.controllers.namespace import Remains, conditions_for, incomplete

ZERO = "1970-01-01T00:00:00Z"


def told(remains: Remains) -> dict[str, tuple[str, str, str]]:
    found = conditions_for((), remains, 0.0)
    return {item["type"]: (item["status"], item["reason"], item["message"]) for item in found}


def test_while_pods_are_there_nothing_is_told_of_the_rest() -> None:
    remains = Remains(Counter({"pods.": 2}), Counter({"a/b": 1}), pods_first=True)
    assert {status for status, _, _ in told(remains).values()} == {"False"}


def test_what_remains_is_counted_by_resource_and_finalizer() -> None:
    remains = Remains(Counter({"secrets.": 1, "jobs.batch": 2}), Counter({"a/b": 2}))
    found = told(remains)
    assert found["NamespaceContentRemaining"] == (
        "True", "SomeResourcesRemain",
        "Some resources are remaining: jobs.batch has 2 resource instances, "
        "secrets. has 1 resource instances",
    )  # fmt: skip
    assert found["NamespaceFinalizersRemaining"][2] == (
        "Some content in the namespace has finalizers remaining: a/b in 2 resource instances"
    )


def test_what_stays_without_a_reason_is_a_failure() -> None:
    text = "unexpected items still remain in namespace: x for gvr: /v1, Resource=pods"
    assert told(Remains(errors=[text]))["NamespaceDeletionContentFailure"] == (
        "True",
        "ContentDeletionFailed",
        f"Failed to delete all resource types, 1 remaining: {text}",
    )


def test_servers_that_do_not_answer_are_named() -> None:
    why = incomplete(("metrics.k8s.io/v1beta1",))
    assert told(Remains(discovery_error=why))["NamespaceDeletionDiscoveryFailure"] == (
        "True", "DiscoveryFailed",
        "Discovery failed for some groups, 1 failing: unable to retrieve the complete list of "
        "server APIs: metrics.k8s.io/v1beta1: stale GroupVersion discovery: "
        "metrics.k8s.io/v1beta1",
    )  # fmt: skip


def test_another_text_of_the_same_status_keeps_its_time() -> None:
    before = conditions_for((), Remains(Counter({"secrets.": 2})), 0.0)
    after = conditions_for(before, Remains(Counter({"secrets.": 1})), 9.0)
    (remaining,) = [c for c in after if c["type"] == "NamespaceContentRemaining"]
    assert remaining["message"].endswith("secrets. has 1 resource instances")
    assert remaining["lastTransitionTime"] == ZERO
