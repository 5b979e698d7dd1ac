"""What a kubelet's credential reads: its own pods and Node, and nobody else's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.apiserver.conftest import pod

if TYPE_CHECKING:
    from tests.apiserver.conftest import Asker

PODS = "/api/v1/namespaces/a/pods"
FAR = "no relationship found between node 'n1' and this object"
ONLY = "can only list/watch pods with spec.nodeName field selector"


async def _two_pods(server: Asker) -> None:
    await server.namespace("a")
    for node in ("n1", "n2"):
        await server.make("/api/v1/nodes", {"metadata": {"name": node}})
        await server.make(PODS, pod(f"on-{node}", nodeName=node))


@pytest.mark.parametrize(
    ("path", "why"),
    [
        (f"{PODS}/on-n1", ""),
        (f"{PODS}/on-n2", FAR),
        (f"{PODS}/none", FAR),
        ("/api/v1/pods?fieldSelector=spec.nodeName%3Dn1", ""),
        ("/api/v1/pods?fieldSelector=status.phase%3DRunning,spec.nodeName%3Dn1", ""),
        (f"{PODS}?fieldSelector=metadata.name%3Don-n1", ""),
        (f"{PODS}?fieldSelector=metadata.name%3Don-n2", FAR),
        ("/api/v1/pods?fieldSelector=spec.nodeName%3Dn2", ONLY),
        ("/api/v1/pods?fieldSelector=spec.nodeName!%3Dn1", ONLY),
        ("/api/v1/pods", ONLY),
        (f"{PODS}?watch=1", ONLY),
        ("/api/v1/nodes/n1", ""),
        ("/api/v1/nodes/n2", "node 'n1' cannot read 'n2', only its own Node object"),
        ("/api/v1/nodes", "node 'n1' cannot read all nodes, only its own Node object"),
        ("/api/v1/nodes?fieldSelector=metadata.name%3Dn1", ""),
        ("/api/v1/services", ""),
    ],
)
async def test_a_node_reads_what_is_its_own(server: Asker, path: str, why: str) -> None:
    await _two_pods(server)
    status, answer = await server.ask("GET", path, token="node")
    assert status == (403 if why else 200), answer
    if why:
        assert answer["message"].endswith(f": {why}")


async def test_a_review_knows_the_field_selector(server: Asker) -> None:
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    term = {"key": "spec.nodeName", "operator": "In", "values": ["n1"]}
    for selector, allowed in (({"requirements": [term]}, True), ({}, False)):
        what = {"verb": "list", "resource": "pods", "version": "v1"}
        if selector:
            what["fieldSelector"] = selector
        spec = {
            "user": "system:node:n1", "groups": ["system:nodes"], "resourceAttributes": what,
        }  # fmt: skip
        _, answer = await server.ask("POST", path, {"spec": spec})
        assert answer["status"]["allowed"] is allowed, answer
