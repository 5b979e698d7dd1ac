"""PodSecurity: namespaces say in labels how well their pods have to behave.

Pods that fall short of the enforced standard are refused; those that fall short of the one to
warn about, and templates of such pods, are warned about.
"""

from __future__ import annotations

from sampan.api.errors import Invalid
from sampan.api.meta import Json
from sampan.apiserver.attempts import CREATE, UPDATE, Attempt, Kinds
from sampan.apiserver.cacher.cacher import Cacher
from sampan.resources.podsecurity import policy
from sampan.resources.podsecurity.policy import Level, Policy, Standard
from sampan.resources.podsecurity.table import complaints

NAMESPACES, PODS = ("", "namespaces"), ("", "pods")
TEMPLATED = frozenset((
    ("", "replicationcontrollers"), ("", "podtemplates"), ("apps", "deployments"),
    ("apps", "replicasets"), ("apps", "statefulsets"), ("apps", "daemonsets"),
    ("batch", "jobs"), ("batch", "cronjobs"),
))  # fmt: skip
WITHOUT_SPEC = frozenset((
    "exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status",
))  # fmt: skip
"""Subresources of pods that leave their specification alone."""

MOST_CHECKED = 3000


class PodSecurity:
    kinds: Kinds = TEMPLATED | {NAMESPACES, PODS}

    def __init__(self, cacher: Cacher) -> None:
        self._namespaces = cacher.collection(*NAMESPACES)
        self._pods = cacher.collection(*PODS)

    async def admit(self, attempt: Attempt) -> None:
        return

    async def validate(self, attempt: Attempt) -> None:
        if attempt.operation not in (CREATE, UPDATE) or attempt.obj is None:
            return
        place = (attempt.id.group, attempt.id.plural)
        if place == PODS:
            self._pod(attempt, attempt.obj)
        elif attempt.subresource:
            return
        elif place == NAMESPACES:
            self._namespace(attempt, attempt.obj)
        else:
            self._template(attempt, attempt.obj)

    def _policy(self, namespace: str) -> Policy:
        item = self._namespaces.get("", namespace)
        labels = item.labels if item is not None else {}
        if not any(key.startswith(policy.PREFIX) for key in labels):
            return Policy()
        return policy.of(labels)[0]

    def _pod(self, attempt: Attempt, pod: Json) -> None:
        if attempt.subresource in WITHOUT_SPEC:
            return
        wanted = self._policy(attempt.namespace)
        if wanted.enforce.level == wanted.warn.level == Level.PRIVILEGED:
            return
        if attempt.old is not None and not _matters(pod["spec"], attempt.old["spec"]):
            return
        says = _says(wanted.enforce, pod["metadata"], pod["spec"])
        if says:
            raise attempt.forbid(f'violates PodSecurity "{wanted.enforce}": {says}')
        _warn(attempt, wanted.warn, pod)

    def _template(self, attempt: Attempt, obj: Json) -> None:
        spec = obj if attempt.id.plural == "podtemplates" else obj.get("spec") or {}
        if attempt.id.plural == "cronjobs":
            spec = (spec.get("jobTemplate") or {}).get("spec") or {}
        template = spec.get("template")
        if template and template.get("spec"):
            _warn(attempt, self._policy(attempt.namespace).warn, template)

    # -- namespaces

    def _namespace(self, attempt: Attempt, namespace: Json) -> None:
        wanted, errors = policy.of(namespace["metadata"].get("labels") or {})
        before, old_errors = Policy(), None
        if attempt.old is not None:
            before, old_errors = policy.of(attempt.old["metadata"].get("labels") or {})
        if errors and errors != old_errors:
            raise Invalid.of(attempt.id, attempt.name, errors)
        new, old = wanted.enforce, before.enforce
        if attempt.old is None or new == old or new.level == Level.PRIVILEGED:
            return
        if new.minor == old.minor and new.level <= old.level:
            return
        for text in self._behind(attempt.name, new):
            attempt.call.warn(text)

    def _behind(self, namespace: str, standard: Standard) -> list[str]:
        """Warnings about the pods that are there already, one for those with the same faults."""
        items = [item.decode() for item in self._pods.items(namespace)]
        pods = _prioritized(items)[:MOST_CHECKED]
        faults: dict[str, list[str]] = {}
        for pod in pods:
            found = complaints(standard, pod["metadata"], pod["spec"])
            if found:
                reasons = ", ".join(each.reason for each in found)
                faults.setdefault(reasons, []).append(pod["metadata"]["name"])
        warnings = []
        if len(pods) < len(items):
            warnings.append(
                "new PodSecurity enforce level only checked against the first "
                f"{len(pods)} of {len(items)} existing pods"
            )
        if faults:
            warnings.append(
                f'existing pods in namespace "{namespace}" violate the new PodSecurity enforce '
                f'level "{standard}"'
            )
        return warnings + sorted(f"{_named(names)}: {why}" for why, names in faults.items())


def _says(standard: Standard, metadata: Json, spec: Json) -> str:
    return ", ".join(map(str, complaints(standard, metadata, spec)))


def _warn(attempt: Attempt, standard: Standard, pod: Json) -> None:
    says = _says(standard, pod.get("metadata") or {}, pod["spec"])
    if says:
        attempt.call.warn(f'would violate PodSecurity "{standard}": {says}')


def _named(names: list[str]) -> str:
    others = len(names) - 1
    if not others:
        return names[0]
    return f"{min(names)} (and {others} other {'pod' if others == 1 else 'pods'})"


def _prioritized(pods: list[Json]) -> list[Json]:
    """One of each controller's pods first."""
    first: list[Json] = []
    rest: list[Json] = []
    seen: set[str] = set()
    for pod in pods:
        owners = pod["metadata"].get("ownerReferences") or ()
        uid = next((owner["uid"] for owner in owners if owner.get("controller")), "")
        (rest if uid in seen else first).append(pod)
        seen |= {uid} if uid else set()
    return first + rest


def _matters(new: Json, old: Json) -> bool:
    """Whether an update of a pod can change the verdict: other containers, other images."""
    for kind in ("containers", "initContainers"):
        if _images(new, kind) != _images(old, kind):
            return True
    before = dict(_named_images(old))
    return any(before.get(name) != image for name, image in _named_images(new))


def _images(spec: Json, kind: str) -> list[str]:
    return [each.get("image", "") for each in spec.get(kind) or ()]


def _named_images(spec: Json) -> list[tuple[str, str]]:
    return [(c["name"], c.get("image", "")) for c in spec.get("ephemeralContainers") or ()]
