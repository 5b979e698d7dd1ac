"""Which pods of a Job count, and which go."""

from __future__ import annotations

from typing import Any

from sampan.api.meta import Json
from sampan.controllers import job_rules as rules
from sampan.controllers.job_pods import Count, finished_in, surplus

JOB: Json = {
    "metadata": {"name": "j", "namespace": "default", "uid": "u"},
    "spec": {
        "completionMode": "Indexed",
        "completions": 2,
        "parallelism": 2,
        "backoffLimitPerIndex": 0,
        "selector": {"matchLabels": {"app": "j"}},
        "template": {
            "metadata": {"labels": {"app": "j"}},
            "spec": {"containers": [{"name": "c", "image": "x"}]},
        },
    },
}


def _pod(index: int, phase: str = "Pending", *, tracked: bool = True, **meta: Any) -> Json:
    return {
        "metadata": {
            "name": f"j-{index}", "uid": f"{index}-{phase}",
            "annotations": {rules.INDEX: str(index)},
            "finalizers": [rules.FINALIZER] if tracked else [], **meta,
        },
        "spec": {"nodeName": "n1"},
        "status": {"phase": phase},
    }  # fmt: skip


def _indexes(pods: list[Json]) -> list[int | None]:
    return [rules.index_of(pod) for pod in pods]


def test_indexes_that_nobody_asks_for_go_first() -> None:
    pods = [_pod(0), _pod(1), _pod(2, "Running")]
    assert _indexes(surplus(JOB, pods, 1)) == [2]
    assert _indexes(surplus(JOB, pods, 0)) == [2]


def test_of_two_with_the_same_index_the_one_that_did_less_goes() -> None:
    pods = [_pod(0), _pod(0, "Running"), _pod(1)]
    assert [pod["metadata"]["uid"] for pod in surplus(JOB, pods, 0)] == ["0-Pending"]


def test_a_job_that_fails_takes_running_pods_along_as_failed() -> None:
    pods = [_pod(0, "Failed"), _pod(1, "Running"), _pod(1, "Running", tracked=False)]
    assert _indexes(finished_in(JOB, pods, is_failing=False)) == [0]
    assert _indexes(finished_in(JOB, pods, is_failing=True)) == [0, 1]


def test_only_pods_that_were_not_counted_yet_fail_an_index() -> None:
    gone = "2026-01-01T00:00:00Z"
    let_go = _pod(1, "Running", tracked=False, deletionTimestamp=gone)
    assert rules.failed_indexes(JOB, [_pod(0, "Failed"), let_go]) == {0}
    assert Count(JOB, [let_go]).failed_pods == []
