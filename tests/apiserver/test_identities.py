"""Certificates, tokens of all kinds, and what they are bound to."""

from __future__ import annotations

import base64
import ssl
from typing import TYPE_CHECKING

import pytest

from sampan.apiserver.authn.certificate import user_of
from sampan.apiserver.authn.static import StaticTokens
from sampan.apiserver.uids import Uids
from sampan.cluster.pki import Subject, new_authority
from tests.apiserver.conftest import pod

if TYPE_CHECKING:
    from tests.apiserver.conftest import Asker

MERGE = "application/merge-patch+json"
WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
TOKEN = "/api/v1/namespaces/a/serviceaccounts/default/token"


def test_the_subject_of_a_certificate_is_the_user() -> None:
    pair = new_authority("ca").issue(Subject("jané", ("team:a", "team:b")))
    user = user_of(ssl.PEM_cert_to_DER_cert(pair.certificate.decode()))
    assert user is not None
    assert user.name == "jané"
    assert user.groups == ("team:a", "team:b", "system:authenticated")


def test_a_token_file_names_users_with_groups() -> None:
    tokens = StaticTokens('abc,jane,7,"a,b"\n# no\n\nxyz,joe,8\n')
    jane = tokens.user("abc")
    assert jane is not None
    assert (jane.name, jane.uid, jane.groups) == ("jane", "7", ("a", "b", "system:authenticated"))
    assert tokens.user("") is None
    assert tokens.user("ab") is None


@pytest.mark.parametrize("text", ["abc,jane", ",jane,1"])
def test_a_token_file_that_is_none_says_which_line(text: str) -> None:
    with pytest.raises(ValueError, match="line 1"):
        StaticTokens(text)


def test_uids_are_random_and_of_version_four() -> None:
    uids = Uids()
    made = [uids.next() for _ in range(1000)]
    assert len(set(made)) == 1000
    assert all(uid[14] == "4" and uid[19] in "89ab" and len(uid) == 36 for uid in made)


async def token_for(server: Asker, **spec: object) -> str:
    status, made = await server.ask("POST", TOKEN, {"spec": spec})
    assert status == 201, made
    return str(made["status"]["token"])


async def test_a_token_is_its_accounts_user_until_it_expires(server: Asker) -> None:
    await server.namespace("a")
    token = await token_for(server, expirationSeconds=600)
    status, review = await server.ask("POST", WHO, {}, token=token)
    assert status == 201
    assert review["status"]["userInfo"]["username"] == "system:serviceaccount:a:default"
    server.clock.time += 601 + 11
    assert (await server.ask("POST", WHO, {}, token=token))[0] == 401


async def test_a_token_ends_with_its_account_and_is_not_that_of_the_next(server: Asker) -> None:
    await server.namespace("a")
    token = await token_for(server)
    account = "/api/v1/namespaces/a/serviceaccounts"
    await server.ask("DELETE", f"{account}/default")
    assert (await server.ask("POST", WHO, {}, token=token))[0] == 401
    await server.make(account, {"metadata": {"name": "default"}})
    assert (await server.ask("POST", WHO, {}, token=token))[0] == 401


async def test_a_token_bound_to_a_pod_ends_with_it(server: Asker) -> None:
    await server.namespace("a")
    made = await server.make("/api/v1/namespaces/a/pods", pod("p", nodeName="n1"))
    ref = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": made["metadata"]["uid"]}
    token = await token_for(server, boundObjectRef=ref)
    _, review = await server.ask("POST", WHO, {}, token=token)
    extra = review["status"]["userInfo"]["extra"]
    assert extra["authentication.kubernetes.io/pod-name"] == ["p"]
    assert extra["authentication.kubernetes.io/node-name"] == ["n1"]
    await server.ask("DELETE", "/api/v1/namespaces/a/pods/p?gracePeriodSeconds=0")
    assert (await server.ask("POST", WHO, {}, token=token))[0] == 401


async def test_a_token_for_others_does_not_open_this_server(server: Asker) -> None:
    await server.namespace("a")
    token = await token_for(server, audiences=["vault"])
    assert (await server.ask("POST", WHO, {}, token=token))[0] == 401
    review = {"spec": {"token": token, "audiences": ["vault", "other"]}}
    path = "/apis/authentication.k8s.io/v1/tokenreviews"
    _, answer = await server.ask("POST", path, review)
    assert answer["status"]["authenticated"]
    assert answer["status"]["audiences"] == ["vault"]


@pytest.mark.parametrize("change", ["signature", "payload", "algorithm"])
async def test_a_token_that_was_tampered_with_is_refused(server: Asker, change: str) -> None:
    await server.namespace("a")
    head, payload, signature = (await token_for(server)).split(".")
    if change == "signature":
        signature = ("A" if signature[0] != "A" else "B") + signature[1:]
    elif change == "payload":
        text = base64.urlsafe_b64decode(payload + "==").replace(b":default", b":another")
        payload = base64.urlsafe_b64encode(text).rstrip(b"=").decode()
    else:
        head = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    bad = f"{head}.{payload}.{signature}"
    assert (await server.ask("POST", WHO, {}, token=bad))[0] == 401


async def test_a_bootstrap_token_is_a_secret_in_kube_system(server: Asker) -> None:
    data = {
        "token-id": "abcdef", "token-secret": "0123456789abcdef",
        "usage-bootstrap-authentication": "true",
        "auth-extra-groups": "system:bootstrappers:nodes",
    }  # fmt: skip
    body = {
        "metadata": {"name": "bootstrap-token-abcdef"},
        "type": "bootstrap.kubernetes.io/token",
        "stringData": data,
    }
    await server.make("/api/v1/namespaces/kube-system/secrets", body)
    bearer = "abcdef.0123456789abcdef"
    status, denied = await server.ask("GET", "/api/v1/secrets", token=bearer)
    assert status == 403
    assert 'User "system:bootstrap:abcdef"' in denied["message"]
    assert (await server.ask("GET", "/api/v1/pods", token="abcdef.0123456789abcdee"))[0] == 401
    old = {"stringData": {"expiration": "2001-01-01T00:00:00Z"}}
    path = "/api/v1/namespaces/kube-system/secrets/bootstrap-token-abcdef"
    await server.ask("PATCH", path, old, type=MERGE)
    assert (await server.ask("GET", "/api/v1/pods", token=bearer))[0] == 401


async def test_the_issuer_shows_its_keys(server: Asker) -> None:
    _, keys = await server.ask("GET", "/openid/v1/jwks")
    assert keys["keys"][0]["crv"] == "P-256"
    _, about = await server.ask("GET", "/.well-known/openid-configuration")
    assert about["issuer"] == "https://kubernetes.default.svc"


async def test_tokens_that_are_no_accounts_are_for_this_server_alone(server: Asker) -> None:
    path = "/apis/authentication.k8s.io/v1/tokenreviews"
    _, answer = await server.ask("POST", path, {"spec": {"token": "alice"}})
    assert answer["status"]["audiences"] == ["https://kubernetes.default.svc"]
    asked = {"token": "alice", "audiences": ["elsewhere"]}
    _, answer = await server.ask("POST", path, {"spec": asked})
    assert answer["status"] == {"user": {}, "error": "invalid bearer token"}


async def test_a_space_too_many_makes_a_token_none(server: Asker) -> None:
    response = await server.raw("GET", "/api/v1/pods", token="", authorization="Bearer  admin")
    assert response.status == 403
    assert "extra space before the bearer token" in response.headers["warning"]


async def test_a_token_request_is_about_the_account_that_it_goes_to(server: Asker) -> None:
    await server.namespace("a")
    path = "/api/v1/namespaces/a/serviceaccounts/default/token"
    status, answer = await server.ask("POST", path, {"metadata": {"name": "b"}, "spec": {}})
    cause = answer["details"]["causes"][0]
    assert (status, cause["field"], cause["message"]) == (
        422,
        "metadata.name",
        'Invalid value: "b": must match the service account name',
    )
