"""Paths as columns of custom kinds use them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.api.jsonpath import PathError, find, parse, render

POD: dict[str, Any] = {
    "metadata": {"name": "web", "annotations": {"example.com/x": "y"}},
    "spec": {"containers": [{"name": "a", "image": "a:1"}, {"name": "b", "image": "b:1"}]},
    "status": {"conditions": [{"type": "Ready", "status": "True", "n": 3}, {"type": "Other"}]},
}

FOUND: list[tuple[str, list[Any]]] = [
    (".metadata.name", ["web"]),
    ("metadata.name", ["web"]),
    ("{.metadata.name}", ["web"]),
    ("$.metadata.name", ["web"]),
    (".metadata.annotations.example\\.com/x", ["y"]),
    (".metadata.annotations['example.com/x']", ["y"]),
    (".spec.containers[0].image", ["a:1"]),
    (".spec.containers[-1].image", ["b:1"]),
    (".spec.containers[*].name", ["a", "b"]),
    (".spec.containers[0:1].name", ["a"]),
    (".spec.containers[0,1].name", ["a", "b"]),
    (".spec.containers[0]['name','image']", ["a", "a:1"]),
    (".status.conditions[?(@.type=='Ready')].status", ["True"]),
    ('.status.conditions[?(@.type == "Ready")].status', ["True"]),
    (".status.conditions[?(@.n>2)].type", ["Ready"]),
    (".status.conditions[?(@.n)].type", ["Ready"]),
    ("..image", ["a:1", "b:1"]),
    (".missing.name", []),
    (".spec.containers[9].name", []),
]


@pytest.mark.parametrize(("path", "values"), FOUND)
def test_paths_lead_to_values(path: str, values: list[Any]) -> None:
    assert find(path, POD) == values


def test_templates_are_rendered() -> None:
    assert render("{.metadata.name}{'\\t'}{.spec.containers[*].name}", POD) == "web\ta b"


@pytest.mark.parametrize("path", [".a[", ".a[x]", ".a[?(@.b==c)]", ".a b"])
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(PathError):
        parse(path)


@given(st.text(max_size=20))
def test_any_text_is_a_path_or_refused(text: str) -> None:
    try:
        path = parse(text)
    except PathError:
        return
    path.find(POD)
