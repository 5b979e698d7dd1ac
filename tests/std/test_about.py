"""/statusz and /flagz."""

from __future__ import annotations

import json

import pytest

from sampan.std.about import About
from sampan.std.http import Request

ABOUT = About("kube-x", "1.36.0", 100.0, {"v": "2", "a": "b"}, ("/healthz",), lambda: 3765.0)


def asked(accept: str) -> Request:
    return Request("GET", "/statusz", headers={"accept": accept} if accept else {})


@pytest.mark.parametrize("accept", ["", "*/*", "text/plain", "application/json, */*"])
def test_people_get_text(accept: str) -> None:
    answer = ABOUT.statusz(asked(accept))
    text = bytes(answer.body).decode()  # type: ignore[arg-type]
    assert answer.headers["content-type"].startswith("text/plain")
    assert text.startswith("\nkube-x statusz\nWarning: This endpoint is not meant to be machine")
    assert "Up: 1 hr 01 min 05 sec\n" in text
    assert "Paths: /healthz\n" in text
    assert "\na=b\nv=2\n" in bytes(ABOUT.flagz(asked(accept)).body).decode()  # type: ignore[arg-type]


@pytest.mark.parametrize("version", ["v1alpha1", "v1beta1"])
def test_who_asks_for_the_kind_gets_it(version: str) -> None:
    accept = f"application/json;v={version};g=config.k8s.io;as="
    answer = ABOUT.statusz(asked(accept + "Statusz"))
    shown = json.loads(bytes(answer.body))  # type: ignore[arg-type]
    assert (shown["kind"], shown["apiVersion"]) == ("Statusz", f"config.k8s.io/{version}")
    assert (shown["metadata"]["name"], shown["uptimeSeconds"]) == ("kube-x", 3665)
    flags = json.loads(bytes(ABOUT.flagz(asked(accept + "Flagz")).body))  # type: ignore[arg-type]
    assert flags["flags"] == {"a": "b", "v": "2"}


def test_anything_else_is_not_acceptable() -> None:
    assert ABOUT.statusz(asked("application/json")).status == 406
    assert ABOUT.flagz(asked("application/json;v=v9;g=config.k8s.io;as=Flagz")).status == 406
