"""From a pod to what the runtime is told: one sandbox, and one bundle for each container. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sampan.api.meta import Json
from sampan.kubelet import observed as labels
from sampan.kubelet import pods, resources
from sampan.kubelet.env import expand
from sampan.kubelet.images import Image
from sampan.kubelet.places import Places
from sampan.kubelet.pods import uid_of
from sampan.kubelet.settings import KubeletSettings
from sampan.linux.base.capabilities import CAPABILITIES
from sampan.linux.base.processes import (
    Container,
    Mount,
    Output,
    Rights,
    Root,
    Sandbox,
    User,
)
from sampan.resources.core.pod.levels import qos_class

DEFAULT_CAPABILITIES = (
    "CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP",
    "SETPCAP", "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE",
)  # fmt: skip
TERMINATION_LOG = "/dev/termination-log"
PROPAGATION = {"None": "private", "HostToContainer": "slave", "Bidirectional": "shared"}


class BadConfig(Exception):
    """The container cannot be made as it is written: CreateContainerConfigError."""


class BadCommand(Exception):
    """There is nothing to run: CreateContainerError."""


@dataclass(frozen=True, slots=True)
class Ingredients:
    """What a container's bundle is made of, besides the pod."""

    id: str
    sandbox: str
    attempt: int
    image: Image
    env: Mapping[str, str]
    sources: Mapping[str, str]
    """Host path of every volume mount, by its mount path."""
    readonly: frozenset[str]
    """Mount paths of volumes that nobody may write to."""
    hostname: str
    memory_capacity: int
    target: str = ""
    """Of an ephemeral container: the id of the one whose processes it is to see."""


def sandbox(pod: Json, settings: KubeletSettings, sandbox_id: str, hostname: str) -> Sandbox:
    spec, meta = pod["spec"], pod["metadata"]
    sysctls = (spec.get("securityContext") or {}).get("sysctls") or ()
    return Sandbox(
        id=sandbox_id,
        cgroup=f"{settings.cgroup}/{uid_of(pod)}",
        hostname=hostname,
        host_network=settings.node_netns if pods.is_host_network(pod) else "",
        host_ipc=bool(spec.get("hostIPC")),
        shared_pid=bool(spec.get("shareProcessNamespace")) and not spec.get("hostPID"),
        sysctls={entry["name"]: entry["value"] for entry in sysctls},
        limits=resources.pod_limits(pod, settings.pod_pids_limit),
        labels={
            labels.POD_NAME: meta["name"],
            labels.POD_NAMESPACE: meta["namespace"],
            labels.POD_UID: uid_of(pod),
        },
    )


def container(pod: Json, wanted: Json, parts: Ingredients, settings: KubeletSettings) -> Container:
    """Raises BadConfig, BadCommand."""
    places, uid = Places(settings.root_dir), uid_of(pod)
    env = {**_image_env(parts.image), "HOSTNAME": parts.hostname, **parts.env}
    host, memory = settings.host_image, parts.image.host and settings.host_image.scratch_in_memory
    return Container(
        id=parts.id,
        sandbox=parts.sandbox,
        argv=command(wanted, parts.image, parts.env),
        cgroup=f"{settings.cgroup}/{uid}/{parts.id}",
        env=tuple(f"{name}={value}" for name, value in env.items()),
        cwd=wanted.get("workingDir") or parts.image.config.working_dir or "/",
        user=user(pod, wanted, parts.image),
        root=Root(
            layers=parts.image.layers,
            host=parts.image.host,
            scratch="" if memory else places.scratch(parts.id),
            hidden=(*host.hidden, settings.root_dir, settings.run_dir) if parts.image.host else (),
        ),
        mounts=mounts(wanted, parts, places, uid),
        rights=rights(pod, wanted, parts.memory_capacity),
        limits=resources.container_limits(wanted),
        output=Output(
            places.log(pod, wanted["name"], parts.attempt),
            settings.container_log_max_bytes,
            settings.container_log_files,
        ),
        host_pid=bool(pod["spec"].get("hostPID")),
        pid_of=parts.target,
        stdin=bool(wanted.get("stdin")),
        stdin_once=bool(wanted.get("stdinOnce")),
        tty=bool(wanted.get("tty")),
        labels={
            labels.POD_NAME: pod["metadata"]["name"],
            labels.POD_NAMESPACE: pod["metadata"]["namespace"],
            labels.POD_UID: uid,
            labels.CONTAINER_NAME: wanted["name"],
            labels.CONTAINER_HASH: pods.container_hash(wanted),
            labels.ATTEMPT: str(parts.attempt),
            labels.IMAGE: wanted.get("image", ""),
            labels.IMAGE_ID: parts.image.id,
            labels.STOP_SIGNAL: parts.image.config.stop_signal,
        },
    )


def _image_env(image: Image) -> dict[str, str]:
    return dict(entry.split("=", 1) for entry in image.config.env if "=" in entry)


def command(wanted: Json, image: Image, env: Mapping[str, str]) -> tuple[str, ...]:
    """The image's entry point and command, as far as the container does not say its own."""
    own = tuple(expand(word, env) for word in wanted.get("command") or ())
    args = tuple(expand(word, env) for word in wanted.get("args") or ())
    if own:
        argv = own + args
    elif args:
        argv = image.config.entrypoint + args
    else:
        argv = image.config.entrypoint + image.config.command
    if not argv:
        raise BadCommand("no command specified")
    return argv


def user(pod: Json, wanted: Json, image: Image) -> User:
    """Who it runs as. Raises BadConfig where that would break runAsNonRoot."""
    common = pod["spec"].get("securityContext") or {}
    uid = security(pod, wanted, "runAsUser")
    gid = security(pod, wanted, "runAsGroup")
    name, _, group = image.config.user.partition(":")
    if security(pod, wanted, "runAsNonRoot"):
        _check_non_root(pod, wanted, uid, name)
    extra = [*(common.get("supplementalGroups") or ())]
    if common.get("fsGroup") is not None:
        extra.append(common["fsGroup"])
    if uid is not None:
        name, group = str(uid), ""
    return User(
        name=name or "0",
        group=str(gid) if gid is not None else group,
        groups=tuple(extra),
        own_groups=common.get("supplementalGroupsPolicy") != "Strict",
    )


def _check_non_root(pod: Json, wanted: Json, uid: int | None, name: str) -> None:
    where = f'(pod: "{pods.full_name(pod)}", container: {wanted["name"]})'
    if uid is not None:
        if uid == 0:
            raise BadConfig(f"container's runAsUser breaks non-root policy {where}")
    elif name and not name.isdigit():
        raise BadConfig(
            f"container has runAsNonRoot and image has non-numeric user ({name}), cannot verify "
            f"user is non-root {where}"
        )
    elif not name or int(name) == 0:
        raise BadConfig(f"container has runAsNonRoot and image will run as root {where}")


def rights(pod: Json, wanted: Json, memory_capacity: int) -> Rights:
    own = wanted.get("securityContext") or {}
    privileged = bool(own.get("privileged"))
    score = resources.oom_score_adj(pod, wanted, qos_class(pod["spec"]), memory_capacity)
    return Rights(
        capabilities=capabilities(own.get("capabilities") or {}),
        privileged=privileged,
        no_new_privileges=own.get("allowPrivilegeEscalation") is False and not privileged,
        readonly_root=bool(own.get("readOnlyRootFilesystem")),
        unmasked=own.get("procMount") == "Unmasked",
        oom_score_adj=score,
    )


def capabilities(wanted: Json) -> tuple[str, ...]:
    """The default ones, less `drop`, plus `add`; ALL stands for every one of either."""
    drop = {_capability(name) for name in wanted.get("drop") or ()}
    add = {_capability(name) for name in wanted.get("add") or ()}
    kept = set() if "ALL" in drop else set(DEFAULT_CAPABILITIES) - drop
    if "ALL" in add:
        kept = set(CAPABILITIES) - drop
    return tuple(name for name in CAPABILITIES if name in kept | add)


def _capability(name: str) -> str:
    return name.upper().removeprefix("CAP_")


def mounts(wanted: Json, parts: Ingredients, places: Places, uid: str) -> tuple[Mount, ...]:
    """Volumes and the pod's own files, parents before what lies inside of them."""
    found = {
        "/etc/hosts": Mount("/etc/hosts", places.hosts(uid)),
        "/etc/resolv.conf": Mount("/etc/resolv.conf", places.resolv_conf(uid)),
        "/etc/hostname": Mount("/etc/hostname", places.hostname(uid)),
    }
    last_words = wanted.get("terminationMessagePath") or TERMINATION_LOG
    found[last_words] = Mount(last_words, places.termination(uid, wanted["name"], parts.id))
    for mount in wanted.get("volumeMounts") or ():
        target = posixpath.normpath(posixpath.join("/", mount["mountPath"]))
        found[target] = Mount(
            target,
            parts.sources[mount["mountPath"]],
            readonly=bool(mount.get("readOnly")) or mount["mountPath"] in parts.readonly,
            propagation=PROPAGATION[mount.get("mountPropagation") or "None"],
        )
    return tuple(sorted(found.values(), key=lambda mount: mount.target.count("/")))


def security(pod: Json, wanted: Json, name: str) -> Any:
    """A setting of the container, or else of its pod."""
    own = (wanted.get("securityContext") or {}).get(name)
    return own if own is not None else (pod["spec"].get("securityContext") or {}).get(name)
