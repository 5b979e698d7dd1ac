"""The part of the cluster benchmark that runs inside the machine, with the cluster's own client.

python -m benchmarks.inside STATE pods 50        created to ready, ms
python -m benchmarks.inside STATE services 100   slice written to first connection, ms
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from pathlib import Path
from typing import Any

from sampan.api.errors import AlreadyExists
from sampan.api.kinds import ENDPOINTSLICES, PODS, SERVICES
from sampan.client import kubeconfig
from sampan.client.client import Client
from sampan.linux.real import netns

Json = dict[str, Any]


def pod(name: str, *command: str) -> Json:
    container = {"name": "c", "image": "localhost/host", "command": list(command)}
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": name}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    }  # fmt: skip


async def pods(client: Client, count: int) -> list[float]:
    """One after another; milliseconds from the answer of the creation being asked for to Ready."""
    took = []
    for number in range(count):
        name = f"bench-{number}"
        begun = time.monotonic()
        made = await client.create(PODS, pod(name, "sleep", "infinity"))
        await ready(client, name, made["metadata"]["resourceVersion"])
        took.append((time.monotonic() - begun) * 1000)
        await client.delete(PODS, name, "default", grace_s=0)
    return took


async def ready(client: Client, name: str, version: str) -> Json:
    async for event in client.watch(
        PODS, "default", resource_version=version, fields=f"metadata.name={name}"
    ):
        conditions = event.object.get("status", {}).get("conditions") or []
        if any(c["type"] == "Ready" and c["status"] == "True" for c in conditions):
            return event.object
    raise SystemExit(f"the watch of {name} ended")


async def services(client: Client, count: int, node: str) -> list[float]:
    """A Service without endpoints gets one; milliseconds until its ClusterIP takes a connection."""
    try:
        made = await client.create(PODS, pod("target", "sampan", "serve-hostname"))
        version = made["metadata"]["resourceVersion"]
    except AlreadyExists:
        version = ""
    target = (await ready(client, "target", version))["status"]["podIP"]
    await asyncio.sleep(0.5)
    took = []
    for number in range(count):
        name = f"bench-{number}"
        spec = {"ports": [{"port": 80, "targetPort": 9376}]}
        service = {"apiVersion": "v1", "kind": "Service", "spec": spec}
        service["metadata"] = {"name": name, "namespace": "default"}
        ip = (await client.create(SERVICES, service))["spec"]["clusterIP"]
        await asyncio.sleep(0.05)
        slice_ = {
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {
                "name": name, "namespace": "default",
                "labels": {"kubernetes.io/service-name": name},
            },
            "endpoints": [{"addresses": [target]}], "ports": [{"port": 9376}],
        }  # fmt: skip
        begun = time.monotonic()
        await client.create(ENDPOINTSLICES, slice_)
        wait_until_connected(node, ip)
        took.append((time.monotonic() - begun) * 1000)
        await client.delete(SERVICES, name, "default")
        await client.delete(ENDPOINTSLICES, name, "default")
    return took


def wait_until_connected(node: str, ip: str) -> None:
    """Asked again at once each time: nothing else happens in this process meanwhile."""
    while not connects(node, ip):
        pass


def connects(node: str, ip: str) -> bool:
    """From inside the node: refused until its proxy has programmed the endpoint."""
    with netns.inside(node):
        sock = socket.socket()
    sock.settimeout(0.05)
    try:
        return sock.connect_ex((ip, 80)) == 0
    finally:
        sock.close()


async def main(argv: list[str]) -> None:
    state, what, count = Path(argv[0]), argv[1], int(argv[2])
    client = kubeconfig.load(state / "admin.conf").client("benchmark")
    if what == "pods":
        took = await pods(client, count)
    else:
        took = await services(client, count, argv[3])
    await client.close()
    print(json.dumps(sorted(took)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
