"""Pods read as the kubelet reads them: small pure questions, asked in many places."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import Enum

from sampan.api.meta import Json

CONFIG_SOURCE = "kubernetes.io/config.source"
CONFIG_MIRROR = "kubernetes.io/config.mirror"
CONFIG_HASH = "kubernetes.io/config.hash"
CONFIG_SEEN = "kubernetes.io/config.seen"
DEFAULT_GRACE_S = 30


class Role(Enum):
    """What a container is to its pod."""

    INIT = "init"
    SIDECAR = "sidecar"
    """An init container that keeps running: restartPolicy Always."""
    APP = "app"
    EPHEMERAL = "ephemeral"


def containers(pod: Json) -> Iterator[tuple[Role, Json]]:
    """Every container with its role: init ones first, in their order."""
    spec = pod["spec"]
    for container in spec.get("initContainers") or ():
        sidecar = container.get("restartPolicy") == "Always"
        yield (Role.SIDECAR if sidecar else Role.INIT), container
    for container in spec.get("containers") or ():
        yield Role.APP, container
    for container in spec.get("ephemeralContainers") or ():
        yield Role.EPHEMERAL, container


def container_named(pod: Json, name: str) -> tuple[Role, Json] | None:
    return next(((role, c) for role, c in containers(pod) if c["name"] == name), None)


def uid_of(pod: Json) -> str:
    """The uid that directories, cgroups and the runtime know; a mirror pod's is its file's."""
    meta = pod["metadata"]
    mirrored: str = (meta.get("annotations") or {}).get(CONFIG_MIRROR, "")
    uid: str = meta["uid"]
    return mirrored or uid


def full_name(pod: Json) -> str:
    """`name_namespace(uid)`, as messages have it."""
    meta = pod["metadata"]
    return f"{meta['name']}_{meta['namespace']}({meta['uid']})"


def is_static(pod: Json) -> bool:
    """From a file or URL, not from the API."""
    source = (pod["metadata"].get("annotations") or {}).get(CONFIG_SOURCE, "api")
    return bool(source != "api")


def is_mirror(pod: Json) -> bool:
    return CONFIG_MIRROR in (pod["metadata"].get("annotations") or {})


def is_host_network(pod: Json) -> bool:
    return bool(pod["spec"].get("hostNetwork"))


def restart_policy(pod: Json) -> str:
    policy: str = pod["spec"].get("restartPolicy") or "Always"
    return policy


def grace_s(pod: Json) -> int:
    """How long its containers may take to stop."""
    asked = pod["metadata"].get("deletionGracePeriodSeconds")
    if asked is None:
        asked = pod["spec"].get("terminationGracePeriodSeconds")
    return int(DEFAULT_GRACE_S if asked is None else asked)


def is_finished(pod: Json) -> bool:
    """Whether its phase says that nothing of it will run again."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def container_hash(container: Json) -> str:
    """Changes when the container has to be made anew. Name and image only, as upstream: nothing
    else of a container can be changed, and defaults of a newer server must not restart anything.
    """
    text = f"{container['name']}\0{container.get('image', '')}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def time_text(seconds: float) -> str:
    """metav1.Time: whole seconds, UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def time_of(text: str | None) -> float | None:
    """Seconds since the epoch; None where there is none."""
    if not text:
        return None
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def duration_text(seconds: float) -> str:
    """Go's time.Duration in whole seconds: `40s`, `1m20s`, `5m0s`."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{rest}s" if hours else f"{minutes}m{rest}s"
