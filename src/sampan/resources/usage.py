"""What objects use of a ResourceQuota: counts, compute, storage; and which quotas look at them.

Pure, for the admission that refuses and the controller that counts anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sampan.api.meta import Json
from sampan.api.quantity import Quantity, parse_json

Amounts = dict[str, Quantity]

ONE = Quantity(10**9)
COUNTED_BY_NAME = frozenset({
    "configmaps", "persistentvolumeclaims", "pods", "replicationcontrollers", "resourcequotas",
    "secrets", "services",
})  # fmt: skip
PLAIN_COMPUTE = ("cpu", "memory", "ephemeral-storage")
COMPUTE_PREFIXES = ("requests.", "limits.")
CLASS_SUFFIX = ".storageclass.storage.k8s.io/"
OVER = ("Succeeded", "Failed")


def count_name(group: str, plural: str) -> str:
    """`count/deployments.apps`, `count/pods`."""
    return f"count/{plural}.{group}" if group else f"count/{plural}"


def usage(group: str, plural: str, obj: Json) -> Amounts:
    """Everything that one object uses, by the names under which quotas limit it."""
    found: Amounts = {count_name(group, plural): ONE}
    if group:
        return found
    if plural == "pods":
        return found | _pod(obj)
    if plural in COUNTED_BY_NAME:
        found[plural] = ONE
    if plural == "services":
        found |= _service(obj)
    elif plural == "persistentvolumeclaims":
        found |= _claim(obj)
    return found


def covered(quota: Json, group: str, plural: str) -> list[str]:
    """The names of a quota's status that objects of a resource may use."""
    hard = (quota.get("status") or {}).get("hard") or {}
    return sorted(name for name in hard if _concerns(name, group, plural))


def matches(quota: Json, group: str, plural: str, obj: Json) -> bool:
    """Whether a quota looks at the object at all: by what it limits and by its scopes."""
    if not covered(quota, group, plural):
        return False
    spec = quota.get("spec") or {}
    terms = [{"scopeName": name, "operator": "Exists"} for name in spec.get("scopes") or ()]
    terms += (spec.get("scopeSelector") or {}).get("matchExpressions") or ()
    if terms and (group or plural != "pods"):
        return False
    return all(_in_scope(term, obj) for term in terms)


def missing(names: Iterable[str], pod: Json) -> str:
    """`must specify limits.memory for: c; ...` for compute that must be named and is not."""
    required = sorted(name for name in names if _is_compute(name))
    absent: dict[str, list[str]] = {}
    for container in _containers(pod):
        held = _container_usage(container)
        for name in required:
            if name not in held:
                absent.setdefault(name, []).append(container["name"])
    if not absent:
        return ""
    parts = [f"{name} for: {','.join(sorted(who))}" for name, who in sorted(absent.items())]
    return "must specify " + "; ".join(parts)


def shown(amounts: Mapping[str, Quantity]) -> str:
    """`cpu=1,pods=2`."""
    return ",".join(f"{name}={value}" for name, value in sorted(amounts.items()))


def total(amounts: Iterable[Amounts]) -> Amounts:
    found: Amounts = {}
    for one in amounts:
        for name, value in one.items():
            found[name] = found[name] + value if name in found else value
    return found


def parsed(values: Json | None) -> Amounts:
    return {name: parse_json(value) for name, value in (values or {}).items()}


# -- pods


def _pod(pod: Json) -> Amounts:
    """A pod that is over uses nothing but its place in the store."""
    status = pod.get("status") or {}
    if status.get("phase") in OVER:
        return {}
    return {"pods": ONE} | compute(pod)


def compute(pod: Json) -> Amounts:
    """Requests and limits of the whole pod: the sum of its containers, or the most that starting
    it takes at a time, and its overhead.
    """
    spec = pod.get("spec") or {}
    sums = total(_container_usage(container) for container in spec.get("containers") or ())
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in spec.get("initContainers") or ():
        held = _container_usage(container)
        if container.get("restartPolicy") == "Always":
            sidecars = total((sidecars, held))
            held = sidecars
        else:
            held = total((held, sidecars))
        for name, value in held.items():
            if name not in peak or peak[name] < value:
                peak[name] = value
    sums = total((sums, sidecars))
    for name, value in peak.items():
        if name not in sums or sums[name] < value:
            sums[name] = value
    sums |= _container_usage(spec)  # what the pod as a whole names counts instead
    for name, value in parsed(spec.get("overhead")).items():
        requested = {f"requests.{name}": value}
        if name in PLAIN_COMPUTE or name.startswith("hugepages-"):
            requested[name] = value
        limited = {key: value for key in (f"limits.{name}",) if key in sums}
        sums = total((sums, requested, limited))
    return sums


def _container_usage(container: Json) -> Amounts:
    resources = container.get("resources") or {}
    found: Amounts = {}
    for name, value in parsed(resources.get("requests")).items():
        found[f"requests.{name}"] = value
        if name in PLAIN_COMPUTE or name.startswith("hugepages-"):
            found[name] = value
    for name, value in parsed(resources.get("limits")).items():
        found[f"limits.{name}"] = value
    return found


def _containers(pod: Json) -> list[Json]:
    spec = pod.get("spec") or {}
    return [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]


# -- services and claims


def _service(svc: Json) -> Amounts:
    spec = svc.get("spec") or {}
    kind, ports = spec.get("type"), spec.get("ports") or ()
    node_ports = 0
    if kind == "NodePort" or (
        kind == "LoadBalancer" and (spec.get("allocateLoadBalancerNodePorts") is not False)
    ):
        node_ports = len(ports)
    elif kind == "LoadBalancer":
        node_ports = sum(1 for port in ports if port.get("nodePort"))
    return {
        "services.nodeports": Quantity(node_ports * 10**9),
        "services.loadbalancers": Quantity(int(kind == "LoadBalancer") * 10**9),
    }


def _claim(claim: Json) -> Amounts:
    spec = claim.get("spec") or {}
    found: Amounts = {}
    name = spec.get("storageClassName") or ""
    if name:
        found[f"{name}{CLASS_SUFFIX}persistentvolumeclaims"] = ONE
    storage = parsed((spec.get("resources") or {}).get("requests")).get("storage")
    if storage is not None:
        found["requests.storage"] = storage
        if name:
            found[f"{name}{CLASS_SUFFIX}requests.storage"] = storage
    return found


# -- what concerns whom


def _concerns(name: str, group: str, plural: str) -> bool:
    if name == count_name(group, plural):
        return True
    if group:
        return False
    if plural == "pods":
        return name == "pods" or _is_compute(name)
    if plural == "services":
        return name in ("services", "services.nodeports", "services.loadbalancers")
    if plural == "persistentvolumeclaims":
        return name in ("persistentvolumeclaims", "requests.storage") or CLASS_SUFFIX in name
    return name == plural and plural in COUNTED_BY_NAME


def _is_compute(name: str) -> bool:
    if name == "requests.storage" or CLASS_SUFFIX in name:
        return False
    return name in PLAIN_COMPUTE or name.startswith((*COMPUTE_PREFIXES, "hugepages-"))


def _in_scope(term: Json, pod: Json) -> bool:
    name, spec = term["scopeName"], pod.get("spec") or {}
    if name in ("Terminating", "NotTerminating"):
        deadline = spec.get("activeDeadlineSeconds")
        return bool((deadline is not None) == (name == "Terminating"))
    if name in ("BestEffort", "NotBestEffort"):
        return bool((not compute(pod)) == (name == "BestEffort"))
    if name == "PriorityClass":
        return _selects(term, spec.get("priorityClassName") or "")
    if name == "CrossNamespacePodAffinity":
        return _crosses(spec.get("affinity") or {})
    return False


def _selects(term: Json, value: str) -> bool:
    operator, values = term.get("operator"), term.get("values") or ()
    if operator == "In":
        return value in values
    if operator == "NotIn":
        return value not in values
    return bool(value) == (operator == "Exists")


def _crosses(affinity: Json) -> bool:
    for kind in ("podAffinity", "podAntiAffinity"):
        rules = affinity.get(kind) or {}
        terms = list(rules.get("requiredDuringSchedulingIgnoredDuringExecution") or ())
        terms += [
            weighted["podAffinityTerm"]
            for weighted in rules.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        ]
        if any(t.get("namespaces") or t.get("namespaceSelector") is not None for t in terms):
            return True
    return False
