"""Whether a pod may be on a node by its own wish and the node's taints. Pure.

Resources and other pods are the scheduler's business.
"""

from __future__ import annotations

from collections.abc import Iterable

from sampan.api.meta import Json
from sampan.api.selectors import Requirement
from sampan.controllers.node_taints import tolerates


def wants(spec: Json, node: Json) -> bool:
    """nodeName, nodeSelector and required node affinity of a pod spec."""
    if spec.get("nodeName") and spec["nodeName"] != node["metadata"]["name"]:
        return False
    labels = node["metadata"].get("labels") or {}
    selector = spec.get("nodeSelector") or {}
    if any(labels.get(name) != value for name, value in selector.items()):
        return False
    affinity = ((spec.get("affinity") or {}).get("nodeAffinity")) or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return True
    return any(_term(term, node) for term in required.get("nodeSelectorTerms") or ())


def bears(tolerations: Iterable[Json], node: Json, effects: Iterable[str]) -> bool:
    """Whether all taints with these effects are tolerated."""
    known, bad = list(tolerations), frozenset(effects)
    return all(
        any(tolerates(toleration, taint) for toleration in known)
        for taint in node["spec"].get("taints") or ()
        if taint["effect"] in bad
    )


def _term(term: Json, node: Json) -> bool:
    labels = node["metadata"].get("labels") or {}
    expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not fields:
        return False
    name = {"metadata.name": node["metadata"]["name"]}
    return all(_holds(one, labels) for one in expressions) and all(
        _holds(one, name) for one in fields
    )


def _holds(expression: Json, values: Json) -> bool:
    listed = tuple(expression.get("values") or ())
    return Requirement(expression["key"], expression["operator"], listed).matches(values)
