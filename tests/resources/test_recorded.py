"""The recorded answers for all kinds, as far as they hold without a server around them.

What admission adds to pods, and what is random, is left out of the comparison.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sampan.api.errors import Invalid
from sampan.api.meta import Json
from sampan.resources.catalog import CATALOG

RECORDED = Path(__file__).parents[1] / "recorded" / "api"
BY_PATH = {resource.id.path(): resource for resource in CATALOG if "list" in resource.verbs}
PATH = re.compile(
    r"(POST|PATCH) (/(?:api|apis/[a-z0-9.]+)/v\d)(?:/namespaces/\$\{ns\})?(/[a-z]+)"
    r"(?:/([a-z0-9-]+))?(/status)?"
)
STATUSES = (200, 201, 422)
ADMITTED = ("tolerations", "serviceAccount", "serviceAccountName", "priority", "preemptionPolicy")
OTHER = {
    "svc-taken", "pod-immutable",  # pools that are taken; differences worded our way
    "limits-quota", "conflicts",  # admission; names that the registry makes
    "metadata-rules", "warnings", "bad-jobs", "bad-devices",  # the registry, admission, patches
    "eviction-forms",  # conditions of a pod's making, which the registry dates
    "svc-updates", "pod-updates", "workload-updates",  # pools, subresources, partly compared steps
}  # fmt: skip


def scenarios() -> Iterator[Any]:
    for folder in ("kinds", "validation", "subresource"):
        for path in sorted((RECORDED / folder).glob("*.yaml")):
            text = path.read_text()
            if path.stem not in OTHER and PATH.search(text):
                yield pytest.param(yaml.safe_load(text), id=path.stem)


@pytest.mark.parametrize("scenario", list(scenarios()))
def test_kinds_answer_as_recorded(scenario: Json, rig: Any) -> None:
    rigs: dict[str, Any] = {}
    for step in scenario["steps"]:
        match = PATH.fullmatch(step["do"])
        path = match[2] + match[3] if match else ""
        if not match or path not in BY_PATH or "query" in step or "auth" in step:
            continue
        if path not in rigs:
            rigs[path] = rig(BY_PATH[path])
        if not isinstance(step.get("body"), dict) or step["expect"]["status"] not in STATUSES:
            continue
        if "failed to allocate" in str(step["expect"].get("body")):
            continue
        got = _play(rigs[path], match, step, scenario["name"])
        if not step.get("compare") and got is not None:
            _compare(got, step, scenario["name"])


def _play(rig: Any, match: re.Match[str], step: Json, name: str) -> Json | None:
    body = json.loads(json.dumps(step["body"]).replace("${ns}", f"rec-{name}"))
    method, _, _, target, status = match.groups()
    try:
        if method == "POST":
            if target:
                return None
            if rig.resource.id.namespaced:
                body.setdefault("metadata", {}).setdefault("namespace", f"rec-{name}")
            obj: Json = rig.create(body)
            return obj
        if target not in rig.objects or step.get("type") not in ("merge", "strategic"):
            return None
        strategic = step["type"] == "strategic"
        changed: Json = rig.patch(target, body, sub=(status or "")[1:], strategic=strategic)
        return changed
    except Invalid as error:
        return error.status()


def _compare(got: Json, step: Json, name: str) -> None:
    expected = step["expect"]["body"]
    if expected.get("code") == 422 and got.get("code") == 422:
        if "body/message" not in step.get("ignore", ()):
            assert _neutral(got["message"]) == expected["message"]
        causes, wanted = (each["details"].get("causes") for each in (got, expected))
        if "body/details/causes" in step.get("sets", ()):
            causes, wanted = (sorted(each, key=json.dumps) for each in (causes, wanted))
        assert json.loads(_neutral(json.dumps(causes))) == wanted
        return
    if expected.get("code"):
        return
    assert _shown(got) == _shown(expected), name


def _neutral(text: str) -> str:
    return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<uid>", text)


def _shown(obj: Json) -> Json:
    """Without what is random, what admission adds, and metadata that the registry writes."""
    obj = json.loads(re.sub(r"\buid-\d+", "<uid>", json.dumps(obj)))
    meta = obj["metadata"]
    for key in ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields"):
        meta.pop(key, None)
    for key in ("kind", "apiVersion"):
        obj.pop(key, None)
    spec = obj.get("spec") or {}
    for key in ("clusterIP", "clusterIPs"):
        if spec.get(key) not in ("None", ["None"], None):
            spec[key] = "an address"
    for port in spec.get("ports") or ():
        if port.get("nodePort"):
            port["nodePort"] = "a port"
    for key in (*ADMITTED, "taints"):
        spec.pop(key, None)
    _without_token(spec)
    if "phase" not in (obj.get("status") or {"phase": ""}):
        obj.pop("status")
    return obj


def _without_token(spec: Json) -> None:
    volumes = [v for v in spec.get("volumes") or () if "kube-api-access" not in v["name"]]
    spec.pop("volumes", None)
    if volumes:
        spec["volumes"] = volumes
    for container in spec.get("containers") or ():
        mounts = [m for m in container.get("volumeMounts") or () if "kube-api" not in m["name"]]
        container.pop("volumeMounts", None)
        if mounts:
            container["volumeMounts"] = mounts
