"""The resources and subresources that are more than stored objects, by where they are."""

from __future__ import annotations

import ssl
from collections.abc import Mapping

from sampan.apiserver.authn.authenticator import Authenticator
from sampan.apiserver.authz.authorizer import Authorizer
from sampan.apiserver.handlers import Special
from sampan.apiserver.registry.base import Parts
from sampan.apiserver.served import Catalog
from sampan.apiserver.verbs.binding import Bindings
from sampan.apiserver.verbs.eviction import Evictions
from sampan.apiserver.verbs.namespaces import Namespaces
from sampan.apiserver.verbs.pod_streams import Kubelets, PodStreams
from sampan.apiserver.verbs.proxy import Proxies
from sampan.apiserver.verbs.reviews import Reviews
from sampan.apiserver.verbs.scale import Scales
from sampan.apiserver.verbs.token import TokenRequests


def specials(
    parts: Parts,
    catalog: Catalog,
    authenticator: Authenticator,
    authorizer: Authorizer,
    kubelet_tls: ssl.SSLContext | None,
) -> Mapping[tuple[str, str, str], Special]:
    """(group, plural, subresource or `*verb`) -> handler."""
    bindings = Bindings(parts, catalog)
    kubelets = Kubelets(parts.cacher.collection("", "nodes"), kubelet_tls)
    streams = PodStreams(parts, kubelets, authorizer)
    proxies = Proxies(parts.cacher, kubelets)
    return {
        ("", "bindings", ""): bindings.create,
        ("", "pods", "binding"): bindings.create,
        ("", "pods", "eviction"): Evictions(parts, catalog).create,
        ("", "pods", "log"): streams.log,
        ("", "pods", "exec"): streams.exec,
        ("", "pods", "attach"): streams.attach,
        ("", "pods", "portforward"): streams.portforward,
        ("", "pods", "proxy"): proxies.pod,
        ("", "services", "proxy"): proxies.service,
        ("", "nodes", "proxy"): proxies.node,
        ("", "namespaces", "*delete"): Namespaces(parts).delete,
        ("", "serviceaccounts", "token"): TokenRequests(parts, authenticator.accounts).create,
        ("*", "*", "scale"): Scales(parts).handle,
        **Reviews(parts, authenticator, authorizer).specials(),
    }
