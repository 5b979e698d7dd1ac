"""Where a pod's files are on the node."""

from __future__ import annotations

from dataclasses import dataclass

from sampan.api.meta import Json
from sampan.kubelet.pods import uid_of


@dataclass(frozen=True, slots=True)
class Places:
    """Below a kubelet's root directory."""

    root: str

    def pod(self, uid: str) -> str:
        return f"{self.root}/pods/{uid}"

    def volume(self, uid: str, plugin: str, name: str) -> str:
        return f"{self.pod(uid)}/volumes/kubernetes.io~{plugin}/{name}"

    def hosts(self, uid: str) -> str:
        return f"{self.pod(uid)}/etc-hosts"

    def resolv_conf(self, uid: str) -> str:
        return f"{self.pod(uid)}/resolv.conf"

    def hostname(self, uid: str) -> str:
        return f"{self.pod(uid)}/hostname"

    def termination(self, uid: str, container: str, run: str) -> str:
        """The file that a container leaves its last words in."""
        return f"{self.pod(uid)}/containers/{container}/{run}"

    def logs(self, pod: Json) -> str:
        meta = pod["metadata"]
        return f"{self.root}/logs/pods/{meta['namespace']}_{meta['name']}_{uid_of(pod)}"

    def log(self, pod: Json, container: str, attempt: int) -> str:
        return f"{self.logs(pod)}/{container}/{attempt}.log"

    def scratch(self, container_id: str) -> str:
        """The writable layer of a container."""
        return f"{self.root}/scratch/{container_id}"

    @property
    def images(self) -> str:
        return f"{self.root}/images"
