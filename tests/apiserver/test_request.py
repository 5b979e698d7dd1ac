"""Paths, methods and Accept headers, taken apart."""

from __future__ import annotations

import pytest

from sampan.api.errors import BadRequest, Invalid, NotAcceptable
from sampan.apiserver.negotiate import choose
from sampan.apiserver.options import delete_options, list_options, read_query, write_options
from sampan.apiserver.request import read_path


@pytest.mark.parametrize(
    ("method", "path", "verb", "place"),
    [
        ("GET", "/api/v1/pods", "list", ("", "pods", "", "")),
        ("GET", "/api/v1/namespaces/a/pods", "list", ("a", "pods", "", "")),
        ("GET", "/api/v1/namespaces/a/pods?watch=1", "watch", ("a", "pods", "", "")),
        ("GET", "/api/v1/namespaces/a/pods?watch=false", "list", ("a", "pods", "", "")),
        ("GET", "/api/v1/namespaces/a/pods/p", "get", ("a", "pods", "p", "")),
        ("GET", "/api/v1/namespaces/a/pods/p?watch=1", "get", ("a", "pods", "p", "")),
        ("GET", "/api/v1/namespaces/a/pods/p/log", "get", ("a", "pods", "p", "log")),
        ("POST", "/api/v1/namespaces/a/pods/p/exec", "create", ("a", "pods", "p", "exec")),
        ("DELETE", "/apis/apps/v1/namespaces/a/deployments", "deletecollection",
         ("a", "deployments", "", "")),
        ("PUT", "/api/v1/namespaces/a/status", "update", ("a", "namespaces", "a", "status")),
        ("GET", "/api/v1/namespaces/a", "get", ("a", "namespaces", "a", "")),
        ("GET", "/api/v1/watch/namespaces/a/pods/p", "watch", ("a", "pods", "p", "")),
        ("GET", "/api/v1/proxy/namespaces/a/services/s/x", "get", ("a", "services", "s", "proxy")),
        ("GET", "/api/v1/pods?fieldSelector=metadata.name%3Dp", "list", ("", "pods", "p", "")),
        ("DELETE", "/api/v1/nodes?fieldSelector=metadata.name%3Dp", "deletecollection",
         ("", "nodes", "", "")),
        ("PATCH", "/apis/a.b/v1/things/t/scale", "patch", ("", "things", "t", "scale")),
    ],
)  # fmt: skip
def test_a_path_says_what_is_asked_for(
    method: str, path: str, verb: str, place: tuple[str, str, str, str]
) -> None:
    where, _, query = path.partition("?")
    info = read_path(method, where, query)
    assert info.resource_request
    assert info.verb == verb
    assert (info.namespace, info.resource, info.name, info.subresource) == place


@pytest.mark.parametrize(
    "path", ["/", "/healthz", "/api", "/api/v1", "/apis/apps", "/apis/apps/v1"]
)
def test_other_paths_are_asked_for_as_they_are(path: str) -> None:
    info = read_path("GET", path, "")
    assert (info.resource_request, info.verb, info.path) == (False, "get", path)


TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


@pytest.mark.parametrize(
    ("accept", "media", "transform"),
    [
        ("", "application/json", ""),
        ("*/*", "application/json", ""),
        ("application/vnd.kubernetes.protobuf,application/json", "application/json", ""),
        ("application/vnd.kubernetes.protobuf, */*", "application/json", ""),
        ("application/vnd.kubernetes.protobuf", "application/vnd.kubernetes.protobuf", ""),
        (f"{TABLE},application/json", "application/json", "Table"),
        (f"application/json;q=0.5,{TABLE};q=0.2", "application/json", ""),
        ("application/yaml", "application/yaml", ""),
        ("application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", "application/json",
         "PartialObjectMetadata"),
        ("application/json;as=Nope;v=v1;g=meta.k8s.io,*/*", "application/json", ""),
    ],
)  # fmt: skip
def test_an_accept_header_comes_to_one_form(accept: str, media: str, transform: str) -> None:
    wish = choose(accept)
    assert (wish.media_type, wish.transform) == (media, transform)


@pytest.mark.parametrize("accept", ["text/html", "application/json;as=Table;v=v9;g=meta.k8s.io"])
def test_what_cannot_be_made_is_not_acceptable(accept: str) -> None:
    with pytest.raises(NotAcceptable):
        choose(accept)


@pytest.mark.parametrize(
    ("query", "watch"),
    [
        ("resourceVersionMatch=Exact", False),
        ("resourceVersionMatch=Exact&resourceVersion=0", False),
        ("resourceVersionMatch=Often&resourceVersion=5", False),
        ("sendInitialEvents=true", False),
        ("sendInitialEvents=true", True),
        ("resourceVersionMatch=NotOlderThan&resourceVersion=5", True),
    ],
)
def test_list_options_that_do_not_go_together_are_invalid(query: str, watch: bool) -> None:
    with pytest.raises(Invalid):
        list_options(read_query(query), watch=watch)


def test_numbers_that_are_none_are_bad_requests() -> None:
    with pytest.raises(BadRequest, match="strconv"):
        list_options(read_query("limit=two"), watch=False)


def test_a_body_of_delete_options_hides_the_query() -> None:
    query = read_query("gracePeriodSeconds=5&propagationPolicy=Orphan")
    assert delete_options(None, query).grace == 5
    assert delete_options({}, query).grace is None
    assert delete_options({"orphanDependents": True}, {}).propagation == "Orphan"


def test_force_is_for_apply_only() -> None:
    with pytest.raises(Invalid, match="may not be specified for non-apply patch"):
        write_options(read_query("force=true"), "PatchOptions")
    assert write_options(read_query("force=true&fieldManager=m"), "PatchOptions", apply=True).force
