"""The controllers, in the order in which they start: one line each."""

from __future__ import annotations

from collections.abc import Callable

from sampan.controllers.deployment import deployment
from sampan.controllers.deps import Deps
from sampan.controllers.replicaset import replicaset, replicationcontroller
from sampan.loop.component import Component

CONTROLLERS: dict[str, Callable[[Deps], Component]] = {
    "replicaset": replicaset,
    "replicationcontroller": replicationcontroller,
    "deployment": deployment,
}
