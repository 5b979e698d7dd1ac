"""Setting up a pod's volumes, keeping them current, taking them down."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass

from sampan.api import kinds, quantity
from sampan.api.meta import Json
from sampan.kubelet.fieldpaths import PodFacts, UnknownField
from sampan.kubelet.objects import Objects, TokenRequest, VolumeFailure
from sampan.kubelet.offload import Offload, to_thread
from sampan.kubelet.places import Places
from sampan.kubelet.pods import uid_of
from sampan.kubelet.volumes import atomic
from sampan.kubelet.volumes.projection import (
    File,
    Material,
    files,
    is_projected,
    references,
    tokens,
)
from sampan.linux.base.mounts import Mounts

PLUGINS = {
    "configMap": "configmap",
    "secret": "secret",
    "downwardAPI": "downward-api",
    "projected": "projected",
    "emptyDir": "empty-dir",
}


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume that is set up; `path` is what containers get."""

    name: str
    path: str
    readonly: bool = False


class Volumes:
    """One node's."""

    def __init__(
        self, places: Places, objects: Objects, mounts: Mounts, offload: Offload = to_thread
    ) -> None:
        self.places, self.objects, self.mounts = places, objects, mounts
        self.offload = offload

    async def set_up(self, pod: Json, facts: PodFacts) -> dict[str, Volume]:
        """Every volume of the pod, made or brought up to date. Raises VolumeFailure."""
        found = {}
        for volume in pod["spec"].get("volumes") or ():
            name = volume["name"]
            try:
                found[name] = await self._one(pod, volume, facts)
            except VolumeFailure as failure:
                text = f'MountVolume.SetUp failed for volume "{name}" : {failure}'
                raise VolumeFailure(text) from failure
            except (OSError, UnknownField) as error:
                text = f'MountVolume.SetUp failed for volume "{name}" : {error}'
                raise VolumeFailure(text) from error
        return found

    async def refresh(self, pod: Json, facts: PodFacts) -> None:
        """Bring projected files up to date; a failure leaves the old ones."""
        for volume in pod["spec"].get("volumes") or ():
            if is_projected(volume):
                await self._one(pod, volume, facts)

    async def take_down(self, uid: str) -> None:
        """Unmount and remove everything of the pod."""
        folder = self.places.pod(uid)
        await self.offload(self._remove, folder)
        self.objects.forget(uid)

    def _remove(self, folder: str) -> None:
        self.mounts.unmount(folder)
        shutil.rmtree(folder, ignore_errors=True)

    async def _one(self, pod: Json, volume: Json, facts: PodFacts) -> Volume:
        if is_projected(volume):
            return await self._projected(pod, volume, facts)
        if "emptyDir" in volume:
            return self._empty_dir(pod, volume)
        if "hostPath" in volume:
            return _host_path(volume["name"], volume["hostPath"])
        if "persistentVolumeClaim" in volume:
            return await self._claim(pod, volume)
        kind = next((key for key in volume if key != "name"), "none")
        raise VolumeFailure(f"volumes of kind {kind} are not supported on this node")

    async def _projected(self, pod: Json, volume: Json, facts: PodFacts) -> Volume:
        namespace = pod["metadata"]["namespace"]
        objects = {
            wanted: await self.objects.get(wanted[0], namespace, wanted[1])
            for wanted in references(volume)
        }
        texts = {wanted: await self.objects.token(pod, wanted) for wanted in tokens(volume)}

        def lookup(kind: str, name: str) -> Json | None:
            return objects.get((kind, name))

        def token(wanted: TokenRequest) -> str:
            return texts[wanted]

        payload = files(volume, Material(pod, lookup, token, facts))
        owner = atomic.Owner(_only_user(pod) if texts else -1, _fs_group(pod))
        if owner.gid >= 0:
            payload = {path: File(file.data, file.mode | 0o440) for path, file in payload.items()}
        plugin = next(PLUGINS[kind] for kind in PLUGINS if kind in volume)
        path = self.places.volume(uid_of(pod), plugin, volume["name"])
        atomic.write(path, payload, self.objects.clock.now(), owner)
        return Volume(volume["name"], path, readonly=True)

    def _empty_dir(self, pod: Json, volume: Json) -> Volume:
        path = self.places.volume(uid_of(pod), "empty-dir", volume["name"])
        wanted = volume["emptyDir"] or {}
        if not os.path.isdir(path):
            os.makedirs(path, mode=0o777)
            os.chmod(path, 0o777)
        if wanted.get("medium") == "Memory":
            limit = wanted.get("sizeLimit")
            size = quantity.parse_json(limit).value if limit else 0
            self.mounts.tmpfs(path, size_bytes=size)
        group = _fs_group(pod)
        if group >= 0 and os.stat(path).st_gid != group:
            os.chown(path, -1, group)
            os.chmod(path, 0o777 | stat.S_ISGID)
        return Volume(volume["name"], path)

    async def _claim(self, pod: Json, volume: Json) -> Volume:
        """A claim that is bound to a volume of this machine's own."""
        wanted = volume["persistentVolumeClaim"]
        namespace, name = pod["metadata"]["namespace"], wanted["claimName"]
        client = self.objects.client
        claim = await client.find(kinds.PERSISTENTVOLUMECLAIMS, name, namespace)
        if claim is None:
            raise VolumeFailure(f'persistentvolumeclaim "{name}" not found')
        bound = claim["spec"].get("volumeName")
        if not bound or (claim.get("status") or {}).get("phase") != "Bound":
            raise VolumeFailure(f"PVC {namespace}/{name} is not bound")
        disk = await client.get(kinds.PERSISTENTVOLUMES, bound)
        source = disk["spec"].get("hostPath") or disk["spec"].get("local")
        if source is None:
            raise VolumeFailure(f"persistent volume {bound} is not on this machine")
        found = _host_path(volume["name"], source)
        return Volume(found.name, found.path, readonly=bool(wanted.get("readOnly")))


def _host_path(name: str, wanted: Mapping[str, str]) -> Volume:
    path, kind = wanted["path"], wanted.get("type") or ""
    if kind == "DirectoryOrCreate":
        os.makedirs(path, mode=0o755, exist_ok=True)
    elif kind == "FileOrCreate" and not os.path.exists(path):
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))
    check = _HOST_PATH_TYPES.get(kind)
    if check is not None:
        rule, text = check
        if not (os.path.exists(path) and rule(os.stat(path).st_mode)):
            raise VolumeFailure(f"hostPath type check failed: {path} is not {text}")
    elif not os.path.exists(path):
        # Without a type upstream lets the runtime make a directory of it.
        os.makedirs(path, mode=0o755)
    return Volume(name, path)


_HOST_PATH_TYPES = {
    "Directory": (stat.S_ISDIR, "a directory"),
    "DirectoryOrCreate": (stat.S_ISDIR, "a directory"),
    "File": (stat.S_ISREG, "a file"),
    "FileOrCreate": (stat.S_ISREG, "a file"),
    "Socket": (stat.S_ISSOCK, "a socket"),
    "CharDevice": (stat.S_ISCHR, "a character device"),
    "BlockDevice": (stat.S_ISBLK, "a block device"),
}


def _fs_group(pod: Json) -> int:
    group = (pod["spec"].get("securityContext") or {}).get("fsGroup")
    return -1 if group is None else int(group)


def _only_user(pod: Json) -> int:
    """The user that all containers run as: a token may then be its own. -1 where there is none."""
    common = (pod["spec"].get("securityContext") or {}).get("runAsUser")
    users = {
        (container.get("securityContext") or {}).get("runAsUser", common)
        for field in ("initContainers", "containers")
        for container in pod["spec"].get(field) or ()
    }
    only = users.pop() if len(users) == 1 else None
    return -1 if only is None else int(only)
