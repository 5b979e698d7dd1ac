"""Certificates, tokens of all kinds, and what they are bound to."""

from __future__ import annotations

import base64
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sampan.apiserver.authn.certificate import user_of
from sampan.apiserver.authn.keys import SigningKey, load_key, load_public_keys
from sampan.apiserver.authn.static import StaticTokens
from sampan.apiserver.authn.tokens import BadToken, sign, verify
from sampan.apiserver.uids import Uids
from sampan.cluster.pki import Subject, authority, key_pem, new_authority, new_key
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
        'Invalid value: "b": must match the service account name if specified',
    )


def rsa_pem() -> bytes:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    return rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


def curve_pem(curve: str) -> bytes:
    from cryptography.hazmat.primitives.asymmetric import ec

    return key_pem(ec.generate_private_key({"384": ec.SECP384R1(), "521": ec.SECP521R1()}[curve]))


@pytest.mark.parametrize(
    ("pem", "algorithm"),
    [(rsa_pem(), "RS256"), (curve_pem("384"), "ES384"), (curve_pem("521"), "ES512")],
    ids=["rsa", "p384", "p521"],
)
def test_keys_of_other_kinds_sign_and_check(pem: bytes, algorithm: str) -> None:
    """kubeadm's sa.key is RSA, and so is envtest's."""
    key = load_key(pem)
    token = sign(key, {"iss": "i", "exp": 100})
    assert verify({key.key_id: key}, token, 1)["iss"] == "i"
    with pytest.raises(BadToken, match="does not fit"):
        verify({key.key_id: key}, token[:-8] + "AAAAAAAA", 1)
    assert key.jwk()["alg"] == algorithm
    other = load_key(key_pem(new_key()))
    with pytest.raises(BadToken, match="not known"):
        verify({other.key_id: other}, token, 1)


def test_a_file_of_keys_may_hold_several_in_any_form(tmp_path: Path) -> None:
    ca = authority(tmp_path)
    public = public_pem(load_key(rsa_pem()))
    found = load_public_keys(rsa_pem() + ca.pem + public + key_pem(new_key()))
    assert [key.algorithm for key in found] == ["RS256", "ES256", "RS256", "ES256"]
    with pytest.raises(ValueError, match="no key"):
        load_public_keys(b"hello")


def public_pem(key: SigningKey) -> bytes:
    from cryptography.hazmat.primitives import serialization

    pem: bytes = key.public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return pem


async def test_a_token_in_a_secret_is_good_as_long_as_the_secret_holds_it(
    server: Asker, signing_key: SigningKey
) -> None:
    await server.namespace("old")
    _, account = await server.ask("GET", "/api/v1/namespaces/old/serviceaccounts/default")
    prefix = "kubernetes.io/serviceaccount"
    token = sign(signing_key, {
        "iss": "kubernetes/serviceaccount", f"{prefix}/namespace": "old",
        f"{prefix}/secret.name": "t", f"{prefix}/service-account.name": "default",
        f"{prefix}/service-account.uid": account["metadata"]["uid"],
        "sub": "system:serviceaccount:old:default",
    })  # fmt: skip
    review = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    assert (await server.ask("POST", review, {}, token=token))[0] == 401, "no secret holds it"
    await server.make("/api/v1/namespaces/old/secrets", {
        "metadata": {"name": "t", "annotations": {"kubernetes.io/service-account.name": "default"}},
        "type": "kubernetes.io/service-account-token",
        "data": {"token": base64.b64encode(token.encode()).decode()},
    })  # fmt: skip
    status, answer = await server.ask("POST", review, {}, token=token)
    assert status == 201
    assert answer["status"]["userInfo"]["username"] == "system:serviceaccount:old:default"
    await server.ask("DELETE", "/api/v1/namespaces/old/secrets/t")
    assert (await server.ask("POST", review, {}, token=token))[0] == 401


async def test_the_use_of_a_legacy_token_is_noted_on_its_secret(
    server: Asker, signing_key: SigningKey
) -> None:
    await server.namespace("a")
    path = "/api/v1/namespaces/a/serviceaccounts/default"
    _, account = await server.ask("GET", path)
    prefix = "kubernetes.io/serviceaccount"
    claims = {
        "iss": "kubernetes/serviceaccount", "sub": "system:serviceaccount:a:default",
        f"{prefix}/namespace": "a", f"{prefix}/secret.name": "t",
        f"{prefix}/service-account.name": "default",
        f"{prefix}/service-account.uid": account["metadata"]["uid"],
    }  # fmt: skip
    token = sign(signing_key, claims)
    notes = {"kubernetes.io/service-account.name": "default"}
    secret = {
        "metadata": {"name": "t", "annotations": notes}, "data": {
            "token": base64.b64encode(token.encode()).decode()},
        "type": "kubernetes.io/service-account-token",
    }  # fmt: skip
    secrets = "/api/v1/namespaces/a/secrets"
    await server.make(secrets, secret)
    legacy = server.api.legacy
    await legacy.settle()
    name = "kube-apiserver-legacy-service-account-token-tracking"
    _, tracked = await server.ask("GET", f"/api/v1/namespaces/kube-system/configmaps/{name}")
    assert tracked["data"] == {"since": "2027-01-15"}

    async def used() -> str:
        await legacy.settle()
        labels = (await server.ask("GET", f"{secrets}/t"))[1]["metadata"].get("labels") or {}
        return str(labels.get("kubernetes.io/legacy-token-last-used", ""))

    assert await used() == ""
    answer = await server.raw("POST", WHO, {}, token=token)
    assert (answer.status, answer.headers.get("warning")) == (201, None)
    assert await used() == "2027-01-15"
    server.clock.time += 3 * 86400
    await server.ask("PATCH", path, {"secrets": [{"name": "t"}]}, type=MERGE)
    answer = await server.raw("POST", WHO, {}, token=token)
    assert "Use tokens from the TokenRequest API" in answer.headers["warning"]
    assert await used() == "2027-01-18"
    mark = {"metadata": {"labels": {"kubernetes.io/legacy-token-invalid-since": "2027-01-18"}}}
    await server.ask("PATCH", f"{secrets}/t", mark, type=MERGE)
    assert (await server.raw("POST", WHO, {}, token=token)).status == 401
    review = {"spec": {"token": token}}
    reviews = "/apis/authentication.k8s.io/v1/tokenreviews"
    _, told = await server.ask("POST", reviews, review)
    assert "secret a/t for service account a/default has been marked" in told["status"]["error"]
