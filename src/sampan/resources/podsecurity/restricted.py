"""Checks of the restricted level: a hardened pod says what it can do without."""

from __future__ import annotations

from sampan.api.meta import Json
from sampan.resources.podsecurity.baseline import (
    added,
    must_not_add,
    seccomp,
    seccomp_kind,
)
from sampan.resources.podsecurity.subject import (
    Check,
    Complaint,
    Subject,
    containers,
    context_of,
    plural,
    quoted,
    uses,
)

_MAY_ADD = frozenset(("NET_BIND_SERVICE",))
_VOLUMES = frozenset((
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image",
    "persistentVolumeClaim", "projected", "secret",
))  # fmt: skip


def linux_only(check: Check) -> Check:
    """Windows has nothing of the kind."""
    return lambda pod: None if pod.windows else check(pod)


def unless_own_users(check: Check) -> Check:
    """Its root is nobody outside."""
    return lambda pod: None if pod.own_users else check(pod)


def escalation(pod: Subject) -> Complaint | None:
    names = pod.who(lambda context: context.get("allowPrivilegeEscalation") is not False)
    if not names:
        return None
    says = f"{containers(names)} must set securityContext.allowPrivilegeEscalation=false"
    return Complaint("allowPrivilegeEscalation != false", says)


def capabilities(pod: Subject) -> Complaint | None:
    keep = pod.who(
        lambda context: "ALL" not in ((context.get("capabilities") or {}).get("drop") or ())
    )
    beyond = {c for each in pod.containers() for c in added(context_of(each), _MAY_ADD)}
    says = []
    if keep:
        says.append(f'{containers(keep)} must set securityContext.capabilities.drop=["ALL"]')
    if beyond:
        names = pod.who(lambda context: bool(added(context, _MAY_ADD)))
        says.append(must_not_add(names, beyond))
    return Complaint("unrestricted capabilities", "; ".join(says)) if says else None


def volumes(pod: Subject) -> Complaint | None:
    bad = [volume for volume in pod.volumes() if not _VOLUMES & volume.keys()]
    if not bad:
        return None
    names = [volume["name"] for volume in bad]
    types = sorted({next((key for key in each if key != "name"), "unknown") for each in bad})
    return Complaint(
        "restricted volume types",
        f"{plural('volume', len(names))} {quoted(names)} {uses(len(names))} "
        f"{plural('restricted volume type', len(types))} {quoted(types)}",
    )


def non_root(pod: Subject) -> Complaint | None:
    reason, key = "runAsNonRoot != true", "runAsNonRoot"
    setters = pod.setters(lambda context: context.get(key) is False)
    if setters:
        says = f"{' and '.join(setters)} must not set securityContext.runAsNonRoot=false"
        return Complaint(reason, says)
    silent = _silent(pod, key) if pod.context.get(key) is not True else []
    if not silent:
        return None
    says = f"pod or {containers(silent)} must set securityContext.runAsNonRoot=true"
    return Complaint(reason, says)


def _silent(pod: Subject, key: str) -> list[str]:
    return pod.who(lambda context: context.get(key) is None)


def user(pod: Subject) -> Complaint | None:
    def bad(context: Json) -> bool:
        return context.get("runAsUser") == 0

    setters = pod.setters(bad)
    if not setters:
        return None
    return Complaint("runAsUser=0", f"{' and '.join(setters)} must not set runAsUser=0")


def seccomp_said(pod: Subject) -> Complaint | None:
    wrong = seccomp(pod)
    if wrong is not None:
        return wrong
    said = seccomp_kind(pod.context) is not None
    silent = [] if said else _silent(pod, "seccompProfile")
    if not silent:
        return None
    return Complaint(
        "seccompProfile",
        f"pod or {containers(silent)} must set securityContext.seccompProfile.type to "
        '"RuntimeDefault" or "Localhost"',
    )
