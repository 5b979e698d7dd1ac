"""Asking a webhook: where it is, how to trust it, and what its answer means."""

from __future__ import annotations

import base64
import binascii
import os
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import orjson

from sampan.api.errors import ApiError
from sampan.api.meta import Json
from sampan.apiserver.cacher.cacher import Cacher
from sampan.apiserver.endpoints import ServiceEndpoints
from sampan.std.http import Request

if TYPE_CHECKING:
    from sampan.client.http import HttpTransport

KIND, VERSION = "AdmissionReview", "admission.k8s.io/v1"
KEPT = 64
"""Connections are kept to that many webhooks."""


class Unanswered(Exception):
    """The webhook could not be asked, or gave no sensible answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    allowed: bool
    status: Json
    patch: list[Json]
    warnings: tuple[str, ...]


class WebhookCalls:
    def __init__(self, cacher: Cacher) -> None:
        self._services = cacher.collection("", "services")
        self._endpoints = ServiceEndpoints(cacher)
        self._transports: dict[tuple[str, str, str], HttpTransport] = {}

    async def ask(self, config: Json, request: Json, timeout_s: int) -> Answer:
        """Raises Unanswered."""
        from sampan.client.transport import Unreachable

        body = orjson.dumps({"kind": KIND, "apiVersion": VERSION, "request": request})
        url = shown_url(config, timeout_s)
        path, _, query = url.partition("://")[2].partition("/")[2].partition("?")
        headers = {"content-type": "application/json", "accept": "application/json"}
        asked = Request("POST", f"/{path}", query, headers, body)
        try:
            transport = await self._transport(config)
            response = await transport.request(asked, timeout_s=timeout_s)
            content = await response.read()
        except ApiError as error:
            raise Unanswered(f'failed to call webhook: Post "{url}": {error.message}') from error
        except (Unreachable, ValueError, OSError) as error:
            why = reason(error, urlsplit(url).netloc)
            raise Unanswered(f'failed to call webhook: Post "{url}": {why}') from error
        if response.status != 200:
            text = content[:200].decode("utf-8", "replace").strip()
            raise Unanswered(
                f'failed to call webhook: an error on the server ("{text}") has prevented the '
                f"request from succeeding (status {response.status})"
            )
        return read_answer(content, request["uid"])

    async def _transport(self, config: Json) -> HttpTransport:
        """Raises ServiceUnavailable where a Service has nobody behind it."""
        from sampan.client.http import HttpTransport

        server, name = self._place(config)
        bundle = config.get("caBundle") or ""
        key = (server, name, bundle)
        known = self._transports.get(key)
        if known is None:
            while len(self._transports) >= KEPT:
                oldest = next(iter(self._transports))
                await self._transports.pop(oldest).close()
            try:
                ca = base64.b64decode(bundle, validate=True)
            except binascii.Error as error:
                raise ValueError(f"unable to load root certificates: {error}") from error
            known = HttpTransport(f"https://{server}", ca=ca, server_name=name)
            self._transports[key] = known
        return known

    def _place(self, config: Json) -> tuple[str, str]:
        """`host:port` and the name that the certificate must carry."""
        ref = config.get("service")
        if ref is None:
            authority = config["url"].partition("://")[2].partition("/")[0]
            return authority, ""
        item = self._services.get(ref["namespace"], ref["name"])
        if item is None:
            raise ValueError(f'service "{ref["name"]}" not found')
        service = item.decode()
        name = f"{ref['name']}.{ref['namespace']}.svc"
        if service["spec"].get("type") == "ExternalName":
            return f"{service['spec']['externalName']}:{ref.get('port') or 443}", name
        host, port = self._endpoints.pick(service, str(ref.get("port") or 443))
        return (f"[{host}]:{port}" if ":" in host else f"{host}:{port}"), name


def shown_url(config: Json, timeout_s: int) -> str:
    """As messages show it: a Service by its name."""
    ref = config.get("service")
    if ref is None:
        url = str(config["url"])
        whole = url if "/" in url.partition("://")[2] else f"{url}/"
        return f"{whole}{'&' if '?' in whole else '?'}timeout={timeout_s}s"
    path = (ref.get("path") or "/").removeprefix("/")
    place = f"{ref['name']}.{ref['namespace']}.svc:{ref.get('port') or 443}"
    return f"https://{place}/{path}?timeout={timeout_s}s"


def read_answer(content: bytes, uid: str) -> Answer:
    """Raises Unanswered for what is no answer to the request with this uid."""
    try:
        review = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise Unanswered(f"received invalid webhook response: {error}") from error
    lead = "received invalid webhook response: "
    if not isinstance(review, dict):
        raise Unanswered(f"{lead}expected {KIND}")
    version, kind = review.get("apiVersion"), review.get("kind")
    if (version, kind) != (VERSION, KIND):
        raise Unanswered(
            f"{lead}expected webhook response of {VERSION}, Kind={KIND}, got {version}, Kind={kind}"
        )
    response = review.get("response")
    if not isinstance(response, dict):
        raise Unanswered("webhook response was absent")
    if response.get("uid") != uid:
        got = response.get("uid") or ""
        raise Unanswered(f'{lead}expected response.uid="{uid}", got "{got}"')
    status = response.get("status")
    warnings = response.get("warnings") or ()
    return Answer(
        response.get("allowed") is True,
        status if isinstance(status, dict) else {},
        _patch(response, lead),
        tuple(text for text in warnings if isinstance(text, str)),
    )


def _patch(response: Json, lead: str) -> list[Json]:
    patch, kind = response.get("patch"), response.get("patchType")
    if not patch:
        if kind:
            raise Unanswered(f"{lead}webhook returned response.patchType but not response.patch")
        return []
    if not kind:
        raise Unanswered(f"{lead}webhook returned response.patch but not response.patchType")
    if kind != "JSONPatch":
        raise Unanswered(f'{lead}invalid response.patchType of "{kind}"')
    try:
        operations = orjson.loads(base64.b64decode(patch))
    except (ValueError, TypeError) as error:
        raise Unanswered(f"{lead}{error}") from error
    if not isinstance(operations, list):
        raise Unanswered(f"{lead}the patch is no list of operations")
    return operations


def reason(error: BaseException, authority: str) -> str:
    """Why nobody answered, in Go's words."""
    cause = error.__cause__ or error
    if isinstance(cause, TimeoutError):
        return "context deadline exceeded"
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"tls: failed to verify certificate: x509: {cause.verify_message}"
    if isinstance(cause, OSError) and cause.errno and not isinstance(cause, ssl.SSLError):
        return f"dial tcp {authority}: connect: {os.strerror(cause.errno).lower()}"
    return str(error)
