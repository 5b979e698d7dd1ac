"""What is known of a cluster: from its files where one may read them, else from its API."""

from __future__ import annotations

import os
from typing import Any

from sampan.api.errors import ApiError
from sampan.api.kinds import NODES
from sampan.client import kubeconfig
from sampan.client.kubeconfig import BadKubeconfig, Connection
from sampan.client.transport import Unreachable
from sampan.cluster import processes, userconfig
from sampan.cluster.config import ClusterConfig
from sampan.cluster.paths import Paths
from sampan.cluster.readiness import is_ready
from sampan.podnet.plan import internal_ip


async def look(name: str, explicit: str = "") -> dict[str, Any]:
    """`{name, state, server, remark, nodes, processes}`; state is running, stopped, degraded or
    absent.
    """
    paths = Paths.of(name)
    readable = os.access(paths.state.parent, os.X_OK) and os.access(paths.state, os.X_OK)
    living = processes.living(paths.processes) if readable else []
    exists = readable and paths.config.exists()
    connection = _connection(name, explicit, paths if exists else None)
    nodes, answers = (
        await _nodes(connection) if connection and (living or not exists) else ([], False)
    )
    return {
        "name": name,
        "state": _state(exists=exists, living=bool(living), answers=answers, visible=readable),
        "server": connection.server if connection else "",
        "remark": "" if readable or not answers else "run it as root to see the processes",
        "nodes": nodes,
        "processes": [{"component": p.component, "node": p.node, "pid": p.pid} for p in living],
    }


def _state(*, exists: bool, living: bool, answers: bool, visible: bool) -> str:
    if answers:
        return "running"
    if living:
        return "degraded"
    return "stopped" if exists or not visible else "absent"


def _connection(name: str, explicit: str, paths: Paths | None) -> Connection | None:
    try:
        if paths is not None and paths.kubeconfig.exists():
            return kubeconfig.load(paths.kubeconfig)
        file = userconfig.target(explicit)
        return kubeconfig.load(file, ClusterConfig(name=name).context)
    except BadKubeconfig:
        return None


async def _nodes(connection: Connection) -> tuple[list[dict[str, str]], bool]:
    client = connection.client("sampan-status")
    try:
        items = (await client.list(NODES))["items"]
    except (Unreachable, ApiError):
        return [], False
    finally:
        await client.close()
    rows = [
        {
            "name": node["metadata"]["name"],
            "status": "Ready" if is_ready(node) else "NotReady",
            "address": internal_ip(node),
        }
        for node in items
    ]
    return rows, True
