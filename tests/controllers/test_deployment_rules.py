from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sampan.api.meta import Json
from sampan.controllers import deployment_rules as rules


def deployment(replicas: int, surge: int | str = 1, unavailable: int | str = 0) -> Json:
    rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
    strategy = {"type": "RollingUpdate", "rollingUpdate": rolling}
    return {
        "metadata": {"name": "web", "annotations": {}},
        "spec": {"replicas": replicas, "strategy": strategy},
    }


def replicaset(name: str, size: int, available: int | None = None, age: int = 0) -> Json:
    return {
        "metadata": {
            "name": name,
            "uid": name,
            "creationTimestamp": f"2026-01-01T00:00:{59 - age:02d}Z",
            "annotations": {},
        },
        "spec": {"replicas": size},
        "status": {"availableReplicas": size if available is None else available},
    }


def test_percentages_round_surge_up_and_unavailable_down() -> None:
    assert rules.fenceposts(deployment(10, "25%", "25%")) == (3, 2)
    assert rules.fenceposts(deployment(1, "25%", "25%")) == (1, 0)


def test_two_zeros_would_stand_still() -> None:
    assert rules.fenceposts(deployment(4, 0, 0)) == (0, 1)


SIZES = st.integers(0, 12)


@given(SIZES, st.integers(0, 4), st.integers(0, 4), st.lists(SIZES, min_size=1, max_size=3), SIZES)
def test_a_rollout_keeps_its_promises(
    replicas: int, surge: int, unavailable: int, old_sizes: list[int], new_size: int
) -> None:
    """Never more pods than allowed by growing, never fewer available ones by shrinking."""
    wish = deployment(replicas, surge, unavailable)
    old = [replicaset(f"old{n}", size, age=n) for n, size in enumerate(old_sizes)]
    new = replicaset("new", min(new_size, replicas))
    everyone = [*old, new]
    size = rules.size_of_new(wish, everyone, new)
    assert size >= rules.wanted(new)
    if size > rules.wanted(new):
        assert rules.total(old) + size <= rules.most(wish)
    least = replicas - rules.fenceposts(wish)[1]
    available = rules.count(everyone, "availableReplicas")
    plan = rules.scale_down_old(wish, everyone, rules.active(old))
    gone = sum(rules.wanted(rs) - size for rs, size in plan)
    assert gone == 0 or available - gone >= least


@given(st.integers(1, 30), st.integers(0, 30), st.integers(1, 10), st.integers(1, 10))
def test_scaling_in_a_rollout_gives_out_exactly_what_is_missing(
    before: int, after: int, first: int, second: int
) -> None:
    wish = deployment(after, 3, 2)
    sets = [replicaset("old", first, age=1), replicaset("new", second)]
    for rs in sets:
        rs["metadata"]["annotations"] = {rules.MAXIMUM: str(before + 3)}
    plan = rules.proportional(wish, sets)
    allowed = after + rules.fenceposts(wish)[0] if after else 0
    sizes = [size for _, size in plan]
    assert min(sizes) >= 0
    if allowed >= first + second:
        assert sum(sizes) == allowed


def test_unhealthy_pods_of_the_oldest_go_first() -> None:
    old = [replicaset("young", 3, 1), replicaset("old", 3, 2, age=9)]
    plan = rules.unhealthy_first(old, 2)
    assert [(rs["metadata"]["name"], size) for rs, size in plan] == [("old", 2), ("young", 2)]


def test_history_remembers_earlier_revisions() -> None:
    wish = deployment(1)
    rs = replicaset("web-a", 1)
    rs["metadata"]["annotations"] = {rules.REVISION: "1"}
    notes = rules.annotations_for(wish, rs, 3, exists=True)
    assert notes == {rules.REVISION: "3", rules.HISTORY: "1"}


def test_the_hash_label_does_not_make_another_template() -> None:
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {}}
    labelled = {"metadata": {"labels": {"app": "x", rules.HASH_LABEL: "abc"}}, "spec": {}}
    assert rules.bare(template) == rules.bare(labelled)
