"""Static pods: from a directory of manifests and from a URL, and their mirrors at the API.

file, URL  ->  pod with a name of this node and a uid of its content  ->  Worker
                                                                      ->  mirror pod (API)
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable, Iterable
from typing import Any

import orjson

from sampan.api import kinds
from sampan.api.errors import AlreadyExists, ApiError
from sampan.api.meta import Json, key_of
from sampan.client.client import Client
from sampan.client.transport import Unreachable
from sampan.kubelet import pods
from sampan.kubelet.kubelet import Kubelet
from sampan.resources.core.pod.template import default_template
from sampan.std import log

LOOK_S = 0.5
"""How often the directory's names and times are looked at; contents only when those changed."""
_LOG = log.get("kubelet")
Fetch = Callable[[str], Any]


class StaticPods:
    """A component beside the kubelet; `load` must have been called once before the first sweep."""

    name = "static pods"

    def __init__(self, kubelet: Kubelet, client: Client, fetch: Fetch) -> None:
        self.kubelet, self.client, self.fetch = kubelet, client, fetch
        self.settings = kubelet.kit.settings
        self.known: dict[str, Json] = {}
        self._stamps: dict[str, tuple[float, int]] = {}
        self._from_files: dict[str, Json] = {}
        self._from_url: dict[str, Json] = {}
        self._wanted = asyncio.Event()
        kubelet.mirrors_wanted = self._wanted.set

    async def run(self, started: Callable[[], None] = lambda: None) -> None:
        await self.load()
        started()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._look_for_ever())
            group.create_task(self._mirror_for_ever())
            if self.settings.manifest_url:
                group.create_task(self._fetch_for_ever())

    async def load(self) -> None:
        """Read everything once and hand it to the kubelet."""
        self._read_files()
        if self.settings.manifest_url:
            await self._fetch_once()
        self._hand_over()

    async def _look_for_ever(self) -> None:
        while True:
            await self.kubelet.kit.clock.sleep(LOOK_S)
            if self._read_files():
                self._hand_over()

    async def _fetch_for_ever(self) -> None:
        while True:
            await self.kubelet.kit.clock.sleep(self.settings.periods.manifests_s)
            await self._fetch_once()
            self._hand_over()

    async def _fetch_once(self) -> None:
        url = self.settings.manifest_url
        try:
            text = await self.kubelet.kit.offload(self.fetch, url)
        except OSError as error:
            _LOG.warning("cannot read manifests", url=url, error=error)
            return
        self._from_url = _by_uid(static_pods(text, "http", url, self.settings.node_name))

    def _read_files(self) -> bool:
        """Whether something is another than before; files that cannot be read are said."""
        stamps = _stamps(self.settings.pod_manifest_path)
        if stamps == self._stamps:
            return False
        self._stamps = stamps
        found: dict[str, Json] = {}
        for path in sorted(stamps):
            try:
                with open(path, "rb") as file:
                    pods_here = static_pods(file.read(), "file", path, self.settings.node_name)
            except (OSError, ValueError) as error:
                _LOG.warning("cannot read a manifest", path=path, error=error)
                continue
            found.update(_by_uid(pods_here))
        self._from_files = found
        return True

    def _hand_over(self) -> None:
        wanted = {**self._from_url, **self._from_files}
        for uid in self.known.keys() - wanted.keys():
            self.kubelet.drop(uid)
        for uid in wanted.keys() - self.known.keys():
            self.kubelet.lead(wanted[uid])
        self.known = wanted
        self._wanted.set()

    # -- mirrors

    async def _mirror_for_ever(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                await self._mirror()
            except (ApiError, Unreachable) as error:
                _LOG.warning("cannot mirror static pods", error=error)
                await self.kubelet.kit.clock.sleep(1)
                self._wanted.set()

    async def _mirror(self) -> None:
        """Make the API show just the static pods that there are."""
        informer = self.kubelet.informer
        await informer.synced.wait()
        for obj in [obj for obj in informer.items() if pods.is_mirror(obj)]:
            meta = obj["metadata"]
            if pods.uid_of(obj) not in self.known or meta.get("deletionTimestamp"):
                await self.client.delete(
                    kinds.PODS, meta["name"], meta["namespace"], grace_s=0, uid=meta["uid"]
                )
        for uid, pod in list(self.known.items()):
            there = informer.get(key_of(pod))
            if there is None:
                await self._create(uid, pod)
            elif pods.uid_of(there) == uid and not there["metadata"].get("deletionTimestamp"):
                self._attach(uid, there)

    async def _create(self, uid: str, pod: Json) -> None:
        try:
            self._attach(uid, await self.client.create(kinds.PODS, mirror_of(pod, self._owner())))
        except AlreadyExists:
            return  # the informer will tell of it

    def _attach(self, uid: str, mirror: Json) -> None:
        worker = self.kubelet.workers.get(uid)
        if worker is not None and worker.mirror is None:
            worker.mirror = mirror
            self.kubelet.wake(uid)

    def _owner(self) -> str:
        uid: str = self.kubelet.reporter.node.get("metadata", {}).get("uid", "")
        return uid


def static_pods(text: bytes, source: str, place: str, node: str) -> list[Json]:
    """The pods in a manifest (a Pod, a PodList, several documents). Raises ValueError."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        documents = [d for d in yaml.load_all(text, Loader=loader) if d]
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {error}") from error
    found = []
    for document in documents:
        kind = document.get("kind") if isinstance(document, dict) else None
        if kind not in ("Pod", "PodList", "List"):
            raise ValueError(f"{kind!r} is no Pod")
        items = [document] if kind == "Pod" else document.get("items") or []
        found += [finished(item, source, place, node) for item in items]
    return found


def finished(pod: Json, source: str, place: str, node: str) -> Json:
    """With what the API server would have added, and what makes it this node's own."""
    meta = dict(pod.get("metadata") or {})
    spec = dict(pod.get("spec") or {})
    if not meta.get("name") or not spec.get("containers"):
        raise ValueError("a static pod needs metadata.name and spec.containers")
    essence = orjson.dumps([pod, node, place], option=orjson.OPT_SORT_KEYS)
    uid = str(meta.get("uid") or hashlib.md5(essence, usedforsecurity=False).hexdigest())
    annotations = {**(meta.get("annotations") or {}), pods.CONFIG_HASH: uid,
                   pods.CONFIG_SOURCE: source}  # fmt: skip
    meta["namespace"] = meta.get("namespace") or "default"
    meta |= {"name": f"{meta['name']}-{node}".lower(), "uid": uid, "annotations": annotations}
    whole: Json = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}
    default_template(whole)
    tolerations = [*(spec.get("tolerations") or ()), {"operator": "Exists", "effect": "NoExecute"}]
    whole["spec"] = {**whole["spec"], "nodeName": node, "tolerations": tolerations,
                     "enableServiceLinks": spec.get("enableServiceLinks", True)}  # fmt: skip
    return whole


def mirror_of(pod: Json, node_uid: str) -> Json:
    """The object that shows a static pod at the API."""
    meta = pod["metadata"]
    annotations = {**meta["annotations"], pods.CONFIG_MIRROR: meta["uid"]}
    mirrored = {key: value for key, value in meta.items() if key != "uid"}
    if node_uid:
        owner = {"apiVersion": "v1", "kind": "Node", "name": pod["spec"]["nodeName"],
                 "uid": node_uid, "controller": True}  # fmt: skip
        mirrored["ownerReferences"] = [owner]
    return {**pod, "metadata": {**mirrored, "annotations": annotations}}


def _by_uid(found: Iterable[Json]) -> dict[str, Json]:
    return {pod["metadata"]["uid"]: pod for pod in found}


def _stamps(folder: str) -> dict[str, tuple[float, int]]:
    """Time and size of every manifest; names that begin with a dot are no manifests."""
    if not folder:
        return {}
    if os.path.isfile(folder):
        state = os.stat(folder)
        return {folder: (state.st_mtime, state.st_size)}
    found = {}
    try:
        for entry in os.scandir(folder):
            if entry.is_file() and not entry.name.startswith("."):
                state = entry.stat()
                found[entry.path] = (state.st_mtime, state.st_size)
    except OSError:
        return found
    return found
