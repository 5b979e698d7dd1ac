"""Small clusters to decide in."""

from __future__ import annotations

import random
from typing import Any

from sampan.scheduler.decision import Placed, Profile, Unplaced, decide
from sampan.scheduler.pod import PodView
from sampan.scheduler.state import ClusterState

ROOMY = {"cpu": "4", "memory": "8Gi", "pods": "110", "ephemeral-storage": "100Gi"}


def node(name: str, **more: Any) -> dict[str, Any]:
    labels = {"kubernetes.io/hostname": name, **more.pop("labels", {})}
    status = {
        "allocatable": {**ROOMY, **more.pop("capacity", {})},
        "images": more.pop("images", []),
    }
    return {"metadata": {"name": name, "labels": labels}, "spec": more, "status": status}


def pod(name: str, labels: dict[str, str] | None = None, **spec: Any) -> PodView:
    requests = spec.pop("requests", {})
    container = {"name": "c", "image": spec.pop("image", "x"), "resources": {"requests": requests}}
    if "ports" in spec:
        container["ports"] = spec.pop("ports")
    meta = {"name": name, "namespace": "d", "uid": f"uid-{name}", "labels": labels or {}}
    return PodView({"metadata": meta, "spec": {"containers": [container], **spec}, "status": {}})


def cluster(*nodes: dict[str, Any], **placed: PodView) -> ClusterState:
    """`n1=pod(...)` puts a pod on a node of that name; further ones by `place`."""
    state = ClusterState()
    for one in nodes:
        state.set_node(one)
    for name, view in placed.items():
        state.place(view, name)
    state.set_namespace("d", {})
    return state


def chosen(view: PodView, state: ClusterState) -> str:
    """The node, or the message."""
    found: Placed | Unplaced = decide(view, state, Profile(), random.Random(1))
    return found.node if isinstance(found, Placed) else found.message
