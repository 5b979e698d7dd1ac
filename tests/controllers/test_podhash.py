"""The template hash against the recorded ones."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import yaml

from sampan.api.meta import Json
from sampan.controllers.podhash import printed, safe, template_hash
from sampan.controllers.revisions import patch_of, raw, revision_hash

CASES = Path(__file__).parents[1] / "recorded" / "controllers"


def defaulted(template: Json) -> Json:
    """The template as the API server keeps it (only what these cases need)."""
    template = copy.deepcopy(template)
    spec = template["spec"]
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec |= {"restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "securityContext": {}}
    spec["schedulerName"] = "default-scheduler"
    for container in spec["containers"]:
        container.setdefault("resources", {})
        container["terminationMessagePath"] = "/dev/termination-log"
        container["terminationMessagePolicy"] = "File"
        container["imagePullPolicy"] = "IfNotPresent" if ":" in container["image"] else "Always"
        for port in container.get("ports", []):
            port["protocol"] = "TCP"
        if "readinessProbe" in container:
            container["readinessProbe"]["httpGet"]["scheme"] = "HTTP"
            container["readinessProbe"] |= {
                "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1,
                "failureThreshold": 3,
            }  # fmt: skip
    for volume in spec.get("volumes", []):
        if "configMap" in volume:
            volume["configMap"]["defaultMode"] = 420
    return template


def recorded() -> list[tuple[str, Json, str]]:
    case = yaml.safe_load((CASES / "deployment-hashes.yaml").read_text())
    answers = json.loads((CASES / "deployment-hashes.json").read_text())[0]["objects"]
    hashes = dict(answer["metadata.name"].split("-") for answer in answers)
    return [
        (d["metadata"]["name"], defaulted(d["spec"]["template"]), hashes[d["metadata"]["name"]])
        for d in case["steps"][0]["create"]
    ]


@pytest.mark.parametrize(("name", "template", "hashed"), recorded())
def test_the_hash_is_upstreams(name: str, template: Json, hashed: str) -> None:
    assert template_hash(template) == hashed


@pytest.mark.parametrize(
    ("value", "kept"),
    [("64Mi", ""), ("1Gi", "1Gi"), ("100Mi", "100Mi"), ("200m", "200m"), ("0", "0"), ("1.5", "")],
)
def test_go_remembers_the_text_that_it_sees_to_be_the_shortest(value: str, kept: str) -> None:
    assert f"s:(string){kept} Format" in printed("resource.Quantity", value)


def test_a_collision_makes_another_hash() -> None:
    template = recorded()[0][1]
    assert (
        len({template_hash(template), template_hash(template, 0), template_hash(template, 1)}) == 3
    )


def test_a_statefulsets_revision_has_upstreams_name() -> None:
    template = defaulted(
        {
            "metadata": {"labels": {"app": "db"}},
            "spec": {"containers": [{"name": "c", "image": "x:1"}]},
        }
    )
    assert revision_hash(patch_of(template), 0) == "6d6d746fc9"


def test_go_escapes_what_html_would_read() -> None:
    assert raw({"a": "<&>é"}) == '{"a":"\\u003c\\u0026\\u003eé"}'.encode()


def test_pointers_are_told_from_values() -> None:
    text = printed("v1.PodSpec", {"hostNetwork": True, "shareProcessNamespace": True})
    assert "HostNetwork:(bool)true " in text
    assert "ShareProcessNamespace:(*bool)true " in text
    assert "HostUsers:(*bool)<nil> " in text


def test_safe_text_has_no_vowels_and_no_digits_that_look_like_letters() -> None:
    assert not set(safe("0123456789")) & set("aeiou013")
