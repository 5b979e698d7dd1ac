"""A pod's sandbox on this node: namespaces, addresses, and the files that name them."""

from __future__ import annotations

import asyncio
import os

from sampan.api.meta import Json, key_of
from sampan.kubelet import bundle, dns, pods
from sampan.kubelet.kit import NORMAL, WARNING, Kit
from sampan.kubelet.network import Attachment, HostPort
from sampan.kubelet.observed import Observed
from sampan.kubelet.settings import Dns
from sampan.linux.base.processes import RuntimeFailure

ATTACH_S = 60.0
"""A node that has no range of addresses yet is waited for; not for ever without a word."""


class PodSandbox:
    """Of one pod. `attached` says which sandboxes have their addresses."""

    def __init__(self, kit: Kit) -> None:
        self.kit = kit
        self.attached: set[str] = set()
        self.hostname = ""

    def is_ready(self, seen: Observed) -> bool:
        box = seen.sandbox
        return box is not None and box.ready and box.spec.id in self.attached

    async def create(self, pod: Json, seen: Observed) -> None:
        """A new one; whatever an old one held is gone or goes now."""
        kit = self.kit
        for old in seen.sandboxes:
            text = "Pod sandbox changed, it will be killed and re-created."
            kit.tell(pod, NORMAL, "SandboxChanged", text)
            await self.remove(pod, old.spec.id, old.netns)
        try:
            self.hostname = self._name(pod)
            spec = bundle.sandbox(pod, kit.settings, kit.new_id(), self.hostname)
            state = await kit.runtime.run_sandbox(spec)
            await self.attach(pod, spec.id, state.netns)
        except (RuntimeFailure, OSError, dns.TooLong) as error:
            text = f"Failed to create pod sandbox: {error}"
            kit.tell(pod, WARNING, "FailedCreatePodSandBox", text)
            raise

    async def attach(self, pod: Json, sandbox: str, netns: str) -> None:
        """Addresses, then the files; again after a restart, when it changes nothing."""
        kit = self.kit
        self.hostname = self._name(pod)
        if pods.is_host_network(pod):
            kit.runtime.ips[sandbox] = kit.node.host_ips
        else:
            try:
                async with asyncio.timeout(ATTACH_S):
                    ips = await kit.network.attach(sandbox, netns, key_of(pod))
            except TimeoutError:
                raise OSError(f"the pod network gave no address within {ATTACH_S:g} s") from None
            kit.runtime.ips[sandbox] = ips
            wanted = attachment(pod)
            if wanted.host_ports and kit.host_ports is not None:
                await kit.host_ports.publish(sandbox, ips, wanted)
        self._write_files(pod, kit.runtime.ips[sandbox])
        self.attached.add(sandbox)

    async def remove(self, pod: Json, sandbox: str, netns: str) -> None:
        self.attached.discard(sandbox)
        if not pods.is_host_network(pod):
            if self.kit.host_ports is not None:
                await self.kit.host_ports.withdraw(sandbox)
            await self.kit.network.detach(sandbox, netns)
        await self.kit.runtime.remove_sandbox(sandbox)

    def _name(self, pod: Json) -> str:
        settings = self.kit.settings
        return dns.hostname(pod, settings.dns, settings.hostname or settings.node_name)

    def _write_files(self, pod: Json, ips: tuple[str, ...]) -> None:
        kit, uid = self.kit, pods.uid_of(pod)
        places, settings = kit.places, kit.settings
        os.makedirs(places.pod(uid), mode=0o750, exist_ok=True)
        conf = dns.resolv_conf(pod, _node_conf(settings.dns), settings.dns, kit.node.host_ips)
        for complaint in conf.complaints:
            kit.tell(pod, WARNING, complaint.reason, complaint.text)
        _write(places.resolv_conf(uid), conf.text())
        _write(places.hosts(uid), dns.hosts(pod, ips, settings.dns, _text("/etc/hosts")))
        _write(places.hostname(uid), self.hostname + "\n")


def attachment(pod: Json) -> Attachment:
    """The node ports that the pod asks for."""
    ports = [
        HostPort(
            int(port["hostPort"]),
            int(port["containerPort"]),
            port.get("protocol") or "TCP",
            port.get("hostIP") or "",
        )
        for _, container in pods.containers(pod)
        for port in container.get("ports") or ()
        if port.get("hostPort")
    ]
    return Attachment(tuple(ports), pod["metadata"].get("annotations") or {})


def _node_conf(settings: Dns) -> dns.ResolvConf:
    """Raises OSError: a pod must not start without names because of a wrong flag."""
    if not settings.resolv_conf:
        return dns.ResolvConf()
    with open(settings.resolv_conf) as file:
        return dns.parse(file.read())


def _text(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def _write(path: str, text: str) -> None:
    """In place: containers have this very file mounted."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.fchmod(fd, 0o644)
        os.ftruncate(fd, 0)
        os.write(fd, text.encode())
    finally:
        os.close(fd)
