"""CronJobs through a fake API, with days in milliseconds."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sampan.api import kinds
from sampan.api.meta import Json
from sampan.controllers.job_rules import parse_indexes, written


def cron(**spec: Any) -> Json:
    template = {"spec": {"template": {"spec": {"containers": []}}}}
    return {
        "metadata": {
            "name": "c",
            "namespace": "default",
            "creationTimestamp": "2023-11-14T22:13:20Z",
        },
        "spec": {"schedule": "0 * * * *", "timeZone": "Etc/UTC", "jobTemplate": template, **spec},
    }


def finish(world: Any, kind: str = "Complete") -> None:
    for job in world.api.all(kinds.JOBS):
        conditions = [{"type": kind, "status": "True"}]
        world.api.put(kinds.JOBS, {**job, "status": {"conditions": conditions}})


def test_a_job_is_made_each_hour_and_named_by_its_minute(play: Any) -> None:
    async def scene(world: Any) -> None:
        world.api.put(kinds.CRONJOBS, cron())
        await world.settle(3 * 3600)
        jobs = world.api.all(kinds.JOBS)
        assert [job["metadata"]["name"] for job in jobs] == [
            "c-28333380", "c-28333440", "c-28333500",
        ]  # fmt: skip
        note = "batch.kubernetes.io/cronjob-scheduled-timestamp"
        assert jobs[0]["metadata"]["annotations"][note] == "2023-11-14T23:00:00Z"
        (found,) = world.api.all(kinds.CRONJOBS)
        assert len(found["status"]["active"]) == 3
        assert found["status"]["lastScheduleTime"] == "2023-11-15T01:00:00Z"

    play(scene, "cronjob")


def test_forbid_waits_for_the_one_that_runs(play: Any) -> None:
    async def scene(world: Any) -> None:
        world.api.put(kinds.CRONJOBS, cron(concurrencyPolicy="Forbid"))
        await world.settle(3 * 3600)
        assert len(world.api.all(kinds.JOBS)) == 1
        finish(world)
        await world.settle(3600)
        assert len(world.api.all(kinds.JOBS)) >= 2

    play(scene, "cronjob")


def test_replace_ends_the_one_that_runs(play: Any) -> None:
    async def scene(world: Any) -> None:
        world.api.put(kinds.CRONJOBS, cron(concurrencyPolicy="Replace"))
        await world.settle(3 * 3600)
        names = [job["metadata"]["name"] for job in world.api.all(kinds.JOBS)]
        assert names == ["c-28333500"]

    play(scene, "cronjob")


def test_a_suspended_one_makes_nothing(play: Any) -> None:
    async def scene(world: Any) -> None:
        world.api.put(kinds.CRONJOBS, cron(suspend=True))
        await world.settle(3 * 3600)
        assert world.api.all(kinds.JOBS) == []

    play(scene, "cronjob")


def test_history_is_kept_to_its_limits(play: Any) -> None:
    async def scene(world: Any) -> None:
        world.api.put(kinds.CRONJOBS, cron(successfulJobsHistoryLimit=2, failedJobsHistoryLimit=0))
        for _ in range(6):
            await world.settle(3600)
            finish(world)
        await world.settle()
        assert len(world.api.all(kinds.JOBS)) == 2
        finish(world, "Failed")
        await world.settle()
        assert world.api.all(kinds.JOBS) == []

    play(scene, "cronjob")


def test_what_was_missed_for_too_long_is_not_made_up(play: Any) -> None:
    async def scene(world: Any) -> None:
        late = cron(startingDeadlineSeconds=60)
        late["metadata"]["creationTimestamp"] = "2023-11-13T00:00:00Z"
        world.api.put(kinds.CRONJOBS, late)
        await world.settle(10)
        assert world.api.all(kinds.JOBS) == []
        await world.settle(3600)
        assert len(world.api.all(kinds.JOBS)) == 1

    play(scene, "cronjob")


@given(st.sets(st.integers(0, 40)))
def test_index_lists_read_back(indexes: set[int]) -> None:
    assert parse_indexes(written(indexes)) == indexes


def test_index_lists_are_written_as_upstream_does() -> None:
    assert written({0, 1, 2, 4, 5, 7}) == "0-2,4,5,7"


def test_a_job_by_hand_in_the_name_of_a_cronjob_is_told_and_its_own_are_not(play: Any) -> None:
    async def scene(world: Any) -> None:
        world.api.put(kinds.CRONJOBS, cron())
        await world.settle(3600)
        (found,) = world.api.all(kinds.CRONJOBS)
        reasons = [event["reason"] for event in world.api.all(kinds.EVENTS)]
        assert reasons == ["SuccessfulCreate"]
        owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": "c", "controller": True}
        owner["uid"] = found["metadata"]["uid"]
        meta = {"name": "by-hand", "namespace": "default", "ownerReferences": [owner]}
        world.api.put(kinds.JOBS, {"metadata": meta, "spec": {}})
        await world.settle(1)
        event = world.api.all(kinds.EVENTS)[-1]
        assert (event["reason"], event["message"]) == (
            "UnexpectedJob", "Saw a job that the controller did not create or forgot: by-hand",
        )  # fmt: skip

    play(scene, "cronjob")


def test_a_time_zone_that_nobody_knows_is_told(play: Any) -> None:
    async def scene(world: Any) -> None:
        world.api.put(kinds.CRONJOBS, cron(timeZone="Moon/Base"))
        await world.settle(1)
        (event,) = world.api.all(kinds.EVENTS)
        assert (event["reason"], event["message"]) == (
            "UnknownTimeZone", 'invalid timeZone: "Moon/Base": unknown time zone Moon/Base',
        )  # fmt: skip

    play(scene, "cronjob")
