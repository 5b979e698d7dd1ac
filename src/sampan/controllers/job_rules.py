"""What the pods of a Job mean for it: which count, which index they did, is it over. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sampan.api.meta import Json
from sampan.controllers.pods import condition, is_terminating, phase, restarts
from sampan.controllers.stamps import seconds, stamp

FINALIZER = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
INDEX_FAILURES = "batch.kubernetes.io/job-index-failure-count"
MANAGER = "kubernetes.io/job-controller"


class Verdict(NamedTuple):
    """Why a Job ends."""

    ok: bool
    reason: str
    message: str


def is_finished(job: Json) -> bool:
    return any(is_true(job, kind) for kind in ("Complete", "Failed"))


def is_true(job: Json, kind: str) -> bool:
    found = condition(job, kind)
    return found is not None and found.get("status") == "True"


def is_indexed(job: Json) -> bool:
    return bool(job["spec"].get("completionMode") == "Indexed")


def is_suspended(job: Json) -> bool:
    return bool(job["spec"].get("suspend"))


def index_of(pod: Json) -> int | None:
    text = (pod["metadata"].get("annotations") or {}).get(INDEX, "")
    return int(text) if text.isdigit() else None


def has_finalizer(pod: Json) -> bool:
    return FINALIZER in (pod["metadata"].get("finalizers") or ())


def is_failed(job: Json, pod: Json) -> bool:
    """A pod that was deleted counts too, unless only real failures are replaced."""
    if phase(pod) == "Failed":
        return True
    patient = job["spec"].get("podReplacementPolicy") == "Failed" or job["spec"].get(
        "podFailurePolicy"
    )
    return not patient and is_terminating(pod) and phase(pod) != "Succeeded"


def completed_indexes(job: Json, pods: Iterable[Json]) -> set[int]:
    """Those of the status and of pods that succeeded since."""
    known = parse_indexes((job.get("status") or {}).get("completedIndexes") or "")
    limit = job["spec"].get("completions") or 0
    fresh = {index_of(pod) for pod in pods if phase(pod) == "Succeeded" and has_finalizer(pod)}
    return {i for i in known | fresh if i is not None and i < limit}


def per_index_limit(job: Json) -> int | None:
    """How often each index may fail, where indexes fail on their own."""
    limit = job["spec"].get("backoffLimitPerIndex")
    return int(limit) if limit is not None and is_indexed(job) else None


def index_failures(job: Json, pods: Iterable[Json]) -> dict[int, int]:
    """How often each index failed: each pod carries the count of those before it."""
    found: dict[int, int] = {}
    for pod in pods:
        index = index_of(pod)
        if index is None:
            continue
        before = (pod["metadata"].get("annotations") or {}).get(INDEX_FAILURES, "0")
        counts = is_failed(job, pod) and policy_action(job, pod)[0] != "Ignore"
        found[index] = max(found.get(index, 0), int(before) + counts)
    return found


def failed_indexes(job: Json, pods: Sequence[Json]) -> set[int]:
    """Indexes that failed too often, or by a rule of the failure policy."""
    limit = per_index_limit(job)
    if limit is None:
        return set()
    known = parse_indexes((job.get("status") or {}).get("failedIndexes") or "")
    tracked = [pod for pod in pods if has_finalizer(pod)]  # the status knows the others
    often = {index for index, count in index_failures(job, tracked).items() if count > limit}
    ruled = {
        index_of(pod)
        for pod in tracked
        if phase(pod) == "Failed" and policy_action(job, pod)[0] == "FailIndex"
    }
    return known | often | {index for index in ruled if index is not None}


def parse_indexes(text: str) -> set[int]:
    """`0,2,4-6`."""
    found: set[int] = set()
    for part in text.split(","):
        low, _, high = part.partition("-")
        if low.isdigit():
            found |= set(range(int(low), int(high or low) + 1))
    return found


def written(indexes: Iterable[int]) -> str:
    """`0,2,4-6`: runs of three and more are shortened, runs of two are listed (as upstream)."""
    runs: list[list[int]] = []
    for index in sorted(indexes):
        if runs and runs[-1][1] == index - 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    parts = []
    for low, high in runs:
        if high - low > 1:
            parts.append(f"{low}-{high}")
        else:
            parts += [str(index) for index in range(low, high + 1)]
    return ",".join(parts)


def wanted(job: Json, succeeded: int, active: int) -> int:
    """How many pods should be at work."""
    parallelism = job["spec"].get("parallelism")
    parallelism = 1 if parallelism is None else int(parallelism)
    completions = job["spec"].get("completions")
    if completions is None:
        # A work queue: once one succeeded no new ones begin.
        return active if succeeded else parallelism
    return max(0, min(int(completions) - succeeded, parallelism))


# The end.


def verdict(
    job: Json, pods: Sequence[Json], counts: tuple[int, int, int], now: float
) -> Verdict | None:
    """Why the Job is over, if it is; `counts` are active, succeeded, failed."""
    active, succeeded, failed = counts
    return _failure(job, pods, failed, now) or _success(job, pods, active, succeeded)


def _failure(job: Json, pods: Sequence[Json], failed: int, now: float) -> Verdict | None:
    by_policy = _failed_by_policy(job, pods)
    if by_policy:
        return Verdict(False, "PodFailurePolicy", by_policy)
    limit = job["spec"].get("backoffLimit")
    if limit is None:
        limit = 6 if per_index_limit(job) is None else 2**31 - 1
    if failed > limit or _restarted_too_often(job, pods, limit):
        text = "Job has reached the specified backoff limit"
        return Verdict(False, "BackoffLimitExceeded", text)
    if deadline_in(job, now) == 0:
        text = "Job was active longer than specified deadline"
        return Verdict(False, "DeadlineExceeded", text)
    return _failed_by_index(job, pods)


def _success(job: Json, pods: Sequence[Json], active: int, succeeded: int) -> Verdict | None:
    rule = _rule_met(job, pods)
    if rule:
        return Verdict(True, "SuccessPolicy", rule)
    completions = job["spec"].get("completions")
    idle = succeeded > 0 and active == 0
    done = idle if completions is None else succeeded >= int(completions)
    if done and not is_suspended(job):
        text = "Reached expected number of succeeded pods"
        return Verdict(True, "CompletionsReached", text)
    return None


def standing_verdict(job: Json) -> Verdict | None:
    """A verdict that was given already, while pods were still ending."""
    for kind, ok in (("FailureTarget", False), ("SuccessCriteriaMet", True)):
        found = condition(job, kind)
        if found is not None and found.get("status") == "True":
            return Verdict(ok, found.get("reason", ""), found.get("message", ""))
    return None


def deadline_in(job: Json, now: float) -> float | None:
    """Seconds until activeDeadlineSeconds is over; None without one."""
    deadline = job["spec"].get("activeDeadlineSeconds")
    start = seconds((job.get("status") or {}).get("startTime"))
    if deadline is None or not start or is_suspended(job):
        return None
    return max(0.0, start + float(deadline) - now)


def _restarted_too_often(job: Json, pods: Sequence[Json], limit: int) -> bool:
    """Pods that restart in place fail without ever being Failed."""
    if job["spec"]["template"]["spec"].get("restartPolicy") != "OnFailure":
        return False
    count = sum(restarts(pod) for pod in pods if phase(pod) in ("Pending", "Running"))
    return count > 0 if limit == 0 else count >= limit


def _failed_by_index(job: Json, pods: Sequence[Json]) -> Verdict | None:
    """Too many indexes failed, or none is left that could still succeed."""
    done = completed_indexes(job, pods)
    failed = failed_indexes(job, pods) - done
    most = job["spec"].get("maxFailedIndexes")
    if failed and most is not None and len(failed) > int(most):
        text = "Job has exceeded the specified maximal number of failed indexes"
        return Verdict(False, "MaxFailedIndexesExceeded", text)
    if failed and len(failed) + len(done) >= int(job["spec"].get("completions") or 0):
        return Verdict(False, "FailedIndexes", "Job has failed indexes")
    return None


def _rule_met(job: Json, pods: Sequence[Json]) -> str:
    """The message of the success policy rule that holds, if any."""
    if not is_indexed(job):
        return ""
    done = completed_indexes(job, pods)
    for number, rule in enumerate((job["spec"].get("successPolicy") or {}).get("rules") or ()):
        listed = rule.get("succeededIndexes")
        chosen = done & parse_indexes(listed) if listed else done
        need = rule.get("succeededCount")
        enough = len(chosen) >= need if need else bool(listed) and chosen == parse_indexes(listed)
        if enough:
            return f"Matched rules at index {number}"
    return ""


# The pod failure policy.


def _failed_by_policy(job: Json, pods: Sequence[Json]) -> str:
    for pod in pods:
        if phase(pod) == "Failed":
            action, message = policy_action(job, pod)
            if action == "FailJob":
                return message
    return ""


def policy_action(job: Json, pod: Json) -> tuple[str, str]:
    """(action, message) of the first rule that matches a failed pod; Count where none does."""
    rules = (job["spec"].get("podFailurePolicy") or {}).get("rules") or ()
    for number, rule in enumerate(rules):
        message = _exit_code(rule.get("onExitCodes"), pod, number, rule["action"])
        if not message:
            message = _has_condition(rule.get("onPodConditions"), pod, number, rule["action"])
        if message:
            return rule["action"], message
    return "Count", ""


def _exit_code(wish: Json | None, pod: Json, number: int, action: str) -> str:
    if wish is None:
        return ""
    status = pod.get("status") or {}
    several = (*(status.get("initContainerStatuses") or ()),
               *(status.get("containerStatuses") or ()))  # fmt: skip
    for container in several:
        if wish.get("containerName") not in (None, container["name"]):
            continue
        ended = (container.get("state") or {}).get("terminated")
        code = (ended or {}).get("exitCode", 0)
        if code and (code in wish["values"]) == (wish["operator"] == "In"):
            meta = pod["metadata"]
            return (
                f"Container {container['name']} for pod {meta['namespace']}/{meta['name']} failed "
                f"with exit code {code} matching {action} rule at index {number}"
            )
    return ""


def _has_condition(wishes: Sequence[Json] | None, pod: Json, number: int, action: str) -> str:
    for wish in wishes or ():
        found = condition(pod, wish["type"])
        if found is not None and found.get("status") == wish.get("status", "True"):
            meta = pod["metadata"]
            return (
                f"Pod {meta['namespace']}/{meta['name']} has condition {wish['type']} "
                f"matching {action} rule at index {number}"
            )
    return ""


def condition_of(kind: str, status: str, reason: str, message: str, now: float) -> Json:
    return {
        "type": kind,
        "status": status,
        "lastProbeTime": stamp(now),
        "lastTransitionTime": stamp(now),
        "reason": reason,
        "message": message,
    }
