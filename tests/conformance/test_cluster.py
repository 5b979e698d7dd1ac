"""What upstream's controllers, scheduler and kubectl did, played again: a sample of each area.

The same functions as `make conformance`, which plays all of them.
"""

from __future__ import annotations

import conformance
import pytest

CONTROLLERS = (
    "deployment-hashes",
    "replicaset-adopt-release",
    "replicationcontroller",
    "endpointslice-mirroring",
    "endpointslice-prefer-close",
    "endpointslice-ready",
    "endpoints-packing",
    "job-per-index",
    "service-kinds",
    "quota-scopes",
    "quota-status",
    "serviceaccount",
)
SCHEDULER = (
    "affinity-first-of-kind",
    "host-ports",
    "least-allocated",
    "node-affinity-preferred",
    "reasons-sorted-as-text",
    "scheduling-gates",
    "taints",
    "topology-spread",
)
KUBECTL = ("delete", "discovery", "explain", "server-side-apply")
PATIENCE_S = 30
"""Only a case that fails takes this long; a busy machine must not make one fail."""


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("area", "names"),
    [("controllers", CONTROLLERS), ("scheduler", SCHEDULER)],
    ids=["controllers", "scheduler"],
)
def test_recorded_cases_end_as_upstream_s_did(area: str, names: tuple[str, ...]) -> None:
    assert _differences(area, names) == {}


@pytest.mark.e2e
@pytest.mark.skipif(not conformance.kubectl(), reason="no kubectl ($KUBECTL or PATH)")
def test_recorded_tours_of_kubectl_print_what_upstream_s_server_made_it_print() -> None:
    assert _differences("kubectl", KUBECTL) == {}


def _differences(area: str, names: tuple[str, ...]) -> dict[str, str]:
    cases = [conformance.RECORDED / area / f"{name}.yaml" for name in names]
    with conformance.servers() as made:
        made.with_controllers()
        made.with_scheduler()
        passed, failed = conformance.replay_cluster(made, cases, timeout=PATIENCE_S)
    assert passed + len(failed) == len(names)
    return failed
