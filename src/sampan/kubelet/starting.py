"""Starting one container: image, variables, mounts, process, postStart hook."""

from __future__ import annotations

import os
from dataclasses import dataclass

from sampan.api.meta import Json
from sampan.kubelet import bundle
from sampan.kubelet.containerstatus import Hold
from sampan.kubelet.env import BadReference, Sources, environment, expand
from sampan.kubelet.fieldpaths import UnknownField
from sampan.kubelet.hooks import hook, run_hook
from sampan.kubelet.images import BadReference as BadImage
from sampan.kubelet.images import Image, Missing
from sampan.kubelet.kit import NORMAL, WARNING, Kit
from sampan.kubelet.objects import VolumeFailure
from sampan.kubelet.observed import Observed, attempt_of
from sampan.kubelet.pods import grace_s, uid_of
from sampan.kubelet.probes.asking import Target
from sampan.kubelet.stopping import stop
from sampan.kubelet.volumes.manager import Volume
from sampan.kubelet.volumes.subpath import inside
from sampan.linux.base.processes import ContainerState, RuntimeFailure, StartFailure

LAST_WORDS_MODE = 0o666


@dataclass(frozen=True, slots=True)
class Setting:
    """What all containers of one pod share while they are started."""

    pod: Json
    seen: Observed
    volumes: dict[str, Volume]
    hostname: str


async def start(kit: Kit, setting: Setting, wanted: Json) -> Hold | None:
    """Run it; a Hold says why it does not run."""
    pod, name = setting.pod, wanted["name"]
    image = find_image(kit, pod, wanted)
    if isinstance(image, Hold):
        return image
    try:
        spec = bundle.container(
            pod, wanted, await _ingredients(kit, setting, wanted, image), kit.settings
        )
    except (BadReference, UnknownField, VolumeFailure, bundle.BadConfig) as error:
        kit.tell(pod, WARNING, "Failed", f"Error: {error}", name)
        return Hold("CreateContainerConfigError", str(error))
    except bundle.BadCommand as error:
        kit.tell(pod, WARNING, "Failed", f"Error: {error}", name)
        return Hold("CreateContainerError", str(error))
    _make_last_words(kit, pod, name, spec.id)
    kit.tell(pod, NORMAL, "Created", "Container created", name)
    try:
        state = await kit.runtime.start(spec)
    except StartFailure as error:
        message = f"failed to start container: unable to start container process: {error}"
        kit.tell(pod, WARNING, "Failed", f"Error: {message}", name)
        return Hold("RunContainerError", message)
    except RuntimeFailure as error:
        kit.tell(pod, WARNING, "Failed", f"Error: {error}", name)
        return Hold("CreateContainerError", str(error))
    kit.tell(pod, NORMAL, "Started", "Container started", name)
    for warning in state.warnings:
        kit.tell(pod, WARNING, "Degraded", f"The kernel refused {warning}", name)
    return await _after_start(kit, setting, wanted, state)


def find_image(kit: Kit, pod: Json, wanted: Json) -> Image | Hold:
    """By the pull policy; a pull that failed waits longer each time."""
    reference, policy = wanted.get("image", ""), wanted.get("imagePullPolicy") or "IfNotPresent"
    name, now = wanted["name"], kit.clock.now()
    try:
        found = kit.images.find(reference)
    except BadImage as error:
        kit.tell(pod, WARNING, "InspectFailed", str(error), name)
        kit.tell(pod, WARNING, "Failed", "Error: InvalidImageName", name)
        return Hold("InvalidImageName", str(error))
    if found is not None and policy != "Always":
        text = f'Container image "{reference}" already present on machine and can be accessed '
        kit.tell(pod, NORMAL, "Pulled", text + "by the pod", name)
        return found
    if policy == "Never":
        text = f'Container image "{reference}" is not present with pull policy of Never'
        kit.tell(pod, WARNING, "ErrImageNeverPull", text, name)
        kit.tell(pod, WARNING, "Failed", "Error: ErrImageNeverPull", name)
        return Hold("ErrImageNeverPull", text)
    key = (uid_of(pod), reference)
    kit.tell(pod, NORMAL, "Pulling", f'Pulling image "{reference}"', name)
    pulled = kit.images.pull(reference)
    if isinstance(pulled, Missing):
        kit.pulls.tried(key, now, now)
        text = f'Failed to pull image "{reference}": {pulled.message}'
        kit.tell(pod, WARNING, "Failed", text, name)
        kit.tell(pod, WARNING, "Failed", f"Error: {pulled.reason}", name)
        return Hold(pulled.reason, pulled.message, retry_at=now + kit.pulls.delay_s(key))
    text = f'Successfully pulled image "{reference}" in 0s (0s including waiting). '
    kit.tell(pod, NORMAL, "Pulled", f"{text}Image size: {pulled.size} bytes.", name)
    return pulled


def back_off_pulling(kit: Kit, pod: Json, wanted: Json, hold: Hold) -> Hold:
    """What stands there between two pulls."""
    if hold.reason == "ImagePullBackOff":
        return hold
    text = f'Back-off pulling image "{wanted.get("image", "")}"'
    kit.tell(pod, NORMAL, "BackOff", text, wanted["name"])
    kit.tell(pod, WARNING, "Failed", "Error: ImagePullBackOff", wanted["name"])
    message = f"{text}: {hold.reason}: {hold.message}"
    return Hold("ImagePullBackOff", message, retry_at=hold.retry_at)


async def _ingredients(
    kit: Kit, setting: Setting, wanted: Json, image: Image
) -> bundle.Ingredients:
    pod, seen = setting.pod, setting.seen
    sandbox = seen.sandbox
    assert sandbox is not None
    env = await _environment(kit, setting, wanted)
    sources, readonly = {}, set()
    for mount in wanted.get("volumeMounts") or ():
        volume = setting.volumes.get(mount["name"])
        if volume is None:
            raise VolumeFailure(f'volume "{mount["name"]}" is not there')
        part = mount.get("subPath") or expand(mount.get("subPathExpr") or "", env)
        sources[mount["mountPath"]] = inside(volume.path, part) if part else volume.path
        if volume.readonly:
            readonly.add(mount["mountPath"])
    return bundle.Ingredients(
        id=kit.new_id(),
        sandbox=sandbox.spec.id,
        attempt=next_attempt(pod, seen, wanted["name"]),
        image=image,
        env=env,
        sources=sources,
        readonly=frozenset(readonly),
        hostname=setting.hostname,
        memory_capacity=kit.node.memory_capacity,
        target=_target(seen, wanted),
    )


def _target(seen: Observed, wanted: Json) -> str:
    """The running container that an ephemeral one was made to look at."""
    state = seen.newest(wanted.get("targetContainerName") or "")
    return state.spec.id if state is not None and state.exit is None else ""


async def _environment(kit: Kit, setting: Setting, wanted: Json) -> dict[str, str]:
    pod = setting.pod
    objects = {
        reference: await kit.objects.get(reference[0], pod["metadata"]["namespace"], reference[1])
        for reference in _references(wanted)
    }
    sources = Sources(
        pod,
        kit.facts(pod, setting.seen.ips),
        lambda kind, name: objects.get((kind, name)),
        kit.service_variables(pod),
    )
    return environment(wanted, sources)


def _references(wanted: Json) -> set[tuple[str, str]]:
    """(kind, name) of everything that the container's variables are read from."""
    found = set()
    for source in wanted.get("envFrom") or ():
        for kind, field_name in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
            if source.get(field_name):
                found.add((kind, source[field_name].get("name", "")))
    for entry in wanted.get("env") or ():
        reference = entry.get("valueFrom") or {}
        for kind, field_name in (("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")):
            if reference.get(field_name):
                found.add((kind, reference[field_name].get("name", "")))
    return found


def next_attempt(pod: Json, seen: Observed, name: str) -> int:
    """Restarts go on counting where the API's status stands, also after a reboot."""
    newest = seen.newest(name)
    if newest is not None:
        return attempt_of(newest) + 1
    status = pod.get("status") or {}
    for field_name in ("containerStatuses", "initContainerStatuses"):
        for known in status.get(field_name) or ():
            if known["name"] == name and known.get("containerID"):
                return int(known["restartCount"]) + 1
    return 0


def _make_last_words(kit: Kit, pod: Json, name: str, run: str) -> None:
    path = kit.places.termination(uid_of(pod), name, run)
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC))
    os.chmod(path, LAST_WORDS_MODE)


async def _after_start(
    kit: Kit, setting: Setting, wanted: Json, state: ContainerState
) -> Hold | None:
    pod, name = setting.pod, wanted["name"]
    ips = kit.facts(pod, setting.seen.ips).pod_ips
    handler = hook(wanted, "postStart")
    if handler is not None:
        target = Target(state.spec.id, wanted, lambda: ips[0] if ips else "")
        answer = await run_hook(handler, target, kit.runtime.runtime, kit.clock, 1e9)
        if not answer.good:
            text = f"PostStartHook failed: {answer.text}"
            kit.tell(pod, WARNING, "FailedPostStartHook", text, name)
            until = kit.clock.monotonic() + grace_s(pod)
            await stop(kit, pod, wanted, state, lambda: until, "FailedPostStartHook")
            return Hold("PostStartHookError", answer.text)
    kit.prober.add(pod, wanted, state, lambda: ips[0] if ips else "")
    return None
