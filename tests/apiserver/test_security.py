"""No road into the server leads past authentication and authorization."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.apiserver.conftest import Asker

OPEN_TO_ALL = {"/healthz", "/livez", "/readyz", "/version"}
PLAIN = (
    "/", "/api", "/apis", "/api/v1", "/apis/apps", "/apis/apps/v1", "/openapi/v2", "/openapi/v3",
    "/openapi/v3/api/v1", "/metrics", "/healthz", "/healthz/ping", "/livez", "/readyz", "/version",
    "/.well-known/openid-configuration", "/openid/v1/jwks", "/nowhere", "/debug/pprof",
)  # fmt: skip
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")


def routes(server: Asker) -> list[str]:
    """Every path shape of every resource and subresource, old forms included."""
    found = []
    for served in server.api.catalog:
        rid = served.id
        spaces = ["", "default"] if rid.namespaced else [""]
        for space in spaces:
            found.append(rid.path(space))
            found.append(rid.path(space, "x"))
            found += [rid.path(space, "x", sub.name) for sub in served.resource.subresources]
            found += [rid.path(space, "x", "proxy/a/b"), rid.path(space, "x", "nope")]
            root, _, tail = rid.path(space, "x").partition(f"/{rid.version}/")
            found += [f"{root}/{rid.version}/{old}/{tail}" for old in ("watch", "proxy")]
    return found


async def test_nobody_gets_anything_but_health_and_version(server: Asker) -> None:
    for path in (*PLAIN, *routes(server)):
        for method in METHODS:
            status, body = await server.ask(method, path, {}, token="")
            if path in OPEN_TO_ALL and method == "GET":
                assert status == 200, (method, path)
            else:
                assert status == 403, (method, path, body)


async def test_who_has_no_rights_gets_discovery_and_reviews_of_themself_only(
    server: Asker,
) -> None:
    own = ("selfsubjectaccessreviews", "selfsubjectreviews", "selfsubjectrulesreviews")
    for path in routes(server):
        for method in METHODS:
            status, body = await server.ask(method, path, {}, token="alice")
            if method == "POST" and any(f"/v1/{plural}" in path for plural in own):
                assert status in (201, 400, 403, 404, 405, 422), (method, path, body)
            else:
                assert status == 403, (method, path, body)


async def test_a_bad_credential_is_not_anonymous(server: Asker) -> None:
    for path in ("/healthz", "/api/v1/pods"):
        status, body = await server.ask("GET", path, token="nonsense")
        assert (status, body["reason"]) == (401, "Unauthorized")


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/namespaces/default/secrets/../pods",
        "//api/v1/secrets",
        "/api//v1/secrets",
        "/api/v1/namespaces/default/secrets/",
        "/api/v1/namespaces/default/%73ecrets",
        "/apis//v1/secrets",
    ],
)
async def test_odd_spellings_of_a_path_open_nothing(server: Asker, path: str) -> None:
    status, _ = await server.ask("GET", path, token="alice")
    assert status in (403, 404)
    status, _ = await server.ask("GET", path, token="")
    assert status == 403


async def test_impersonation_takes_the_right_to_impersonate(server: Asker) -> None:
    status, body = await server.ask(
        "GET", "/api/v1/secrets", token="alice", impersonate_user="root",
        impersonate_group="system:masters",
    )  # fmt: skip
    assert status == 403
    assert 'cannot impersonate-on:user-info:list resource "secrets"' in body["message"]
    status, _ = await server.ask("GET", "/api/v1/secrets", impersonate_user="alice")
    assert status == 403


async def test_an_impersonated_group_alone_is_an_error(server: Asker) -> None:
    status, body = await server.ask("GET", "/api/v1/pods", impersonate_group="system:masters")
    assert status == 400
    assert body["message"] == (
        'requested &user.DefaultInfo{Name:"", UID:"", Groups:[]string{"system:masters"}, '
        "Extra:map[string][]string(nil)} without impersonating a user name"
    )


async def test_nobody_grants_rights_that_they_do_not_hold(server: Asker) -> None:
    rules = [
        {"apiGroups": [RBAC], "resources": ["roles", "rolebindings"], "verbs": ["create", "get"]}
    ]
    await server.make(f"/apis/{RBAC}/v1/clusterroles", {"metadata": {"name": "m"}, "rules": rules})
    await bind(server, "m", "alice")
    greedy = {
        "metadata": {"name": "r"},
        "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}],
    }
    roles = f"/apis/{RBAC}/v1/namespaces/default/roles"
    status, body = await server.ask("POST", roles, greedy, token="alice")
    assert status == 403
    assert body["message"].endswith(
        'is forbidden: user "alice" (groups=["system:authenticated"]) is attempting to grant RBAC '
        'permissions not currently held:\n{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}'
    )
    held = {"metadata": {"name": "r"}, "rules": rules}
    held["rules"] = [{"apiGroups": [RBAC], "resources": ["roles"], "verbs": ["get"]}]
    status, _ = await server.ask("POST", roles, held, token="alice")
    assert status == 201
    binding = {
        "metadata": {"name": "b"},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": RBAC, "kind": "User", "name": "alice"}],
    }
    path = f"/apis/{RBAC}/v1/namespaces/default/rolebindings"
    status, body = await server.ask("POST", path, binding, token="alice")
    assert status == 403
    assert "permissions not currently held" in body["message"]


async def test_a_kubelet_reads_only_what_its_pods_refer_to(server: Asker) -> None:
    from tests.apiserver.conftest import pod

    await server.namespace("a")
    secrets = "/api/v1/namespaces/a/secrets"
    for name in ("mine", "other"):
        await server.make(secrets, {"metadata": {"name": name}})
    volumes = [{"name": "v", "secret": {"secretName": "mine"}}]
    await server.make("/api/v1/namespaces/a/pods", pod("p", nodeName="n1", volumes=volumes))
    status, _ = await server.ask("GET", f"{secrets}/mine", token="node")
    assert status == 200
    status, body = await server.ask("GET", f"{secrets}/other", token="node")
    assert status == 403
    assert "no relationship found between node 'n1' and this object" in body["message"]
    status, _ = await server.ask("GET", secrets, token="node")
    assert status == 403


async def test_a_kubelet_changes_only_its_own_node(server: Asker) -> None:
    node = {"metadata": {"name": "n1"}}
    status, body = await server.ask("POST", "/api/v1/nodes", node, token="node")
    assert status == 201, body
    status, body = await server.ask(
        "POST", "/api/v1/nodes", {"metadata": {"name": "n2"}}, token="node"
    )
    assert status == 403
    assert 'node "n1" is not allowed to modify node "n2"' in body["message"]


RBAC = "rbac.authorization.k8s.io"


async def bind(server: Asker, role: str, user: str) -> None:
    await server.make(
        f"/apis/{RBAC}/v1/clusterrolebindings",
        {
            "metadata": {"name": f"{role}-{user}"},
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": RBAC, "kind": "User", "name": user}],
        },
    )


async def test_a_nodes_rules_are_not_all_that_it_may_do(server: Asker) -> None:
    status, body = await server.ask(
        "POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
        {"spec": {"namespace": "default"}},
        impersonate_user="system:node:n", impersonate_group="system:nodes",
    )  # fmt: skip
    told = {key: body["status"][key] for key in ("incomplete", "evaluationError")}
    assert (status, told) == (201, {
        "incomplete": True,
        "evaluationError": "node authorizer does not support user rule resolution",
    })  # fmt: skip


async def test_administrators_are_shown_the_rules_of_their_roles(server: Asker) -> None:
    path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    groups = "system:masters"
    status, body = await server.ask(
        "POST", path, {"spec": {"namespace": "default"}},
        impersonate_user="root", impersonate_group=groups,
    )  # fmt: skip
    shown = body["status"]
    assert status == 201
    assert shown["resourceRules"] == [
        {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
        {"verbs": ["create"], "apiGroups": ["authorization.k8s.io"],
         "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"]},
        {"verbs": ["create"], "apiGroups": ["authentication.k8s.io"],
         "resources": ["selfsubjectreviews"]},
    ]  # fmt: skip
    urls = [rule["nonResourceURLs"] for rule in shown["nonResourceRules"]]
    assert urls[0] == ["*"]
    assert [url for rule in urls[1:] for url in rule if url == "/healthz"] == ["/healthz"] * 2


async def test_many_groups_are_asked_for_at_once_by_constrained_impersonation(
    server: Asker,
) -> None:
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    rules = [
        {"apiGroups": ["authentication.k8s.io"], "resources": ["users"], "resourceNames": ["bob"],
         "verbs": ["impersonate:user-info"]},
        {"apiGroups": ["authentication.k8s.io"], "resources": ["groups"], "resourceNames": ["*"],
         "verbs": ["impersonate:user-info"]},
        {"apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"],
         "verbs": ["impersonate-on:user-info:create"]},
    ]  # fmt: skip
    await server.make(f"{rbac}/clusterroles", {"metadata": {"name": "r"}, "rules": rules})
    await server.make(f"{rbac}/clusterrolebindings", {
        "metadata": {"name": "r"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "r"},
        "subjects": [{"kind": "User", "name": "alice"}],
    })  # fmt: skip
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    for groups, expected in (("a,b,c", 403), ("a,b,c,d", 201), ("a,b,c,system:masters", 403)):
        status, _ = await server.ask(
            "POST", path, {}, token="alice", impersonate_user="bob", impersonate_group=groups
        )
        assert (groups, status) == (groups, expected)
