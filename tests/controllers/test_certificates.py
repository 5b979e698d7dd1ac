"""What the signers refuse."""

import pytest

from sampan.controllers.signer_rules import (
    CLIENT,
    KUBELET_CLIENT,
    KUBELET_SERVING,
    Asked,
    problem,
)

NODE = Asked("system:node:n1", ("system:nodes",))
CLIENT_USES = ["digital signature", "client auth"]
SERVER_USES = ["digital signature", "key encipherment", "server auth"]


@pytest.mark.parametrize(
    ("signer", "asked", "usages", "why"),
    [
        (KUBELET_CLIENT, NODE, CLIENT_USES, ""),
        (KUBELET_CLIENT, NODE, [*CLIENT_USES, "key encipherment"], ""),
        (
            KUBELET_CLIENT, NODE, ["client auth"],
            "usages did not match [client auth digital signature key encipherment]",
        ),
        (
            KUBELET_CLIENT, Asked("system:node:n1", ("system:nodes", "more")), CLIENT_USES,
            "subject organization is not system:nodes",
        ),
        (
            KUBELET_CLIENT, Asked("n1", ("system:nodes",)), CLIENT_USES,
            "subject common name does not begin with system:node:",
        ),
        (
            KUBELET_CLIENT, Asked("system:node:n1", ("system:nodes",), ips=1), CLIENT_USES,
            "IP subjectAltNames are not allowed",
        ),
        (KUBELET_SERVING, NODE, SERVER_USES, "DNS or IP subjectAltName is required"),
        (KUBELET_SERVING, Asked("system:node:n1", ("system:nodes",), dns=1), SERVER_USES, ""),
        (
            KUBELET_SERVING, Asked("system:node:n1", ("system:nodes",), dns=1, uris=1),
            SERVER_USES, "URI subjectAltNames are not allowed",
        ),
        (CLIENT, Asked("jane", ()), ["client auth"], ""),
        (
            CLIENT, Asked("jane", ()), ["key encipherment"],
            "missing required usage for client certificate: client auth",
        ),
        (
            CLIENT, Asked("jane", ()), SERVER_USES,
            "invalid usage for client certificate: server auth",
        ),
        ("kubernetes.io/legacy-unknown", Asked("x", ()), SERVER_USES, ""),
    ],
)  # fmt: skip
def test_a_signer_tells_why_it_does_not_sign(
    signer: str, asked: Asked, usages: list[str], why: str
) -> None:
    assert problem(signer, asked, usages) == why
