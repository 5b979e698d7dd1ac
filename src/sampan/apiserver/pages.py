"""Plain paths that are no resources: metrics, the token issuer's documents, OpenAPI."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sampan.apiserver.answers import json_answer
from sampan.apiserver.authn.accounts import AccountTokens
from sampan.apiserver.openapi import OpenApi
from sampan.apiserver.served import Catalog
from sampan.std.about import About
from sampan.std.http import Request, Response
from sampan.std.metrics import CONTENT_TYPE

if TYPE_CHECKING:
    from sampan.apiserver.app import App, Page


def pages(app: App, accounts: AccountTokens, catalog: Catalog, about: About) -> Mapping[str, Page]:
    """By path."""

    async def metrics(request: Request) -> Response:
        for served in catalog:
            if served.stored == served.id:
                app.meters.objects(served.id.group, served.id.plural, served.collection.total())
        text = app.meters.registry.render().encode()
        return Response(200, {"content-type": CONTENT_TYPE}, text)

    async def issuer(request: Request) -> Response:
        algorithms = sorted({key.algorithm for key in accounts.keys.values()})
        return json_answer({
            "issuer": accounts.issuer,
            "jwks_uri": f"{accounts.issuer}/openid/v1/jwks",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": algorithms,
        })  # fmt: skip

    async def keys(request: Request) -> Response:
        response = json_answer({"keys": [key.jwk() for key in accounts.keys.values()]})
        response.headers["content-type"] = "application/jwk-set+json"
        return response

    async def statusz(request: Request) -> Response:
        return about.statusz(request)

    async def flagz(request: Request) -> Response:
        return about.flagz(request)

    openapi = OpenApi(catalog, app.program)
    return {
        "/openapi/v2": openapi.v2,
        "/openapi/v3": openapi.v3,
        "/openapi/v3/*": openapi.v3,
        "/metrics": metrics,
        "/statusz": statusz,
        "/flagz": flagz,
        "/.well-known/openid-configuration": issuer,
        "/openid/v1/jwks": keys,
    }
