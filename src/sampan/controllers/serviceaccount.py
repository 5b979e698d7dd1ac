"""Every namespace has a ServiceAccount `default`, and a ConfigMap `kube-root-ca.crt` by which its
pods know the API server.
"""

from __future__ import annotations

from collections.abc import Awaitable

from sampan.api import kinds
from sampan.api.errors import AlreadyExists, Forbidden, NotFound
from sampan.api.meta import Json, Key
from sampan.controllers.deps import Deps
from sampan.loop.component import Component
from sampan.loop.queue import Queue
from sampan.loop.reconciler import Controller, namespace_is_leaving

DEFAULT = "default"
ROOT_CA = "kube-root-ca.crt"
NOTE = "kubernetes.io/description"
DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal "
    "endpoints such as the internal service IP or kubernetes.default.svc. No other usage is "
    "guaranteed across distributions of Kubernetes clusters."
)


def serviceaccount(deps: Deps) -> Component:
    reconciler = DefaultAccounts(deps)
    waits = (reconciler.namespaces, reconciler.accounts)
    return Controller(reconciler, reconciler.queue, workers=2, wait_for=waits)


def rootca(deps: Deps) -> Component:
    reconciler = RootCertificates(deps)
    waits = (reconciler.namespaces, reconciler.configmaps)
    return Controller(reconciler, reconciler.queue, workers=2, wait_for=waits)


class DefaultAccounts:
    """The reconciler; keys are namespaces."""

    name = "serviceaccount"

    def __init__(self, deps: Deps) -> None:
        self.queue: Queue[str] = Queue(deps.clock)
        self._client = deps.client_of("service-account-controller")
        self.namespaces = deps.informers.of(kinds.NAMESPACES)
        self.accounts = deps.informers.of(kinds.SERVICEACCOUNTS)
        self.namespaces.on_change(lambda old, new: self._wake(new))
        self.accounts.on_change(self._account_changed)

    async def reconcile(self, key: str) -> float | None:
        if not _is_alive(self.namespaces.get(Key("", key))):
            return None
        if self.accounts.get(Key(key, DEFAULT)) is None:
            account: Json = {"metadata": {"name": DEFAULT, "namespace": key}}
            await _create(self._client.create(kinds.SERVICEACCOUNTS, account))
        return None

    def _wake(self, namespace: Json | None) -> None:
        if namespace is not None:
            self.queue.add(namespace["metadata"]["name"])

    def _account_changed(self, old: Json | None, new: Json | None) -> None:
        if new is None and old is not None and old["metadata"]["name"] == DEFAULT:
            self.queue.add(old["metadata"]["namespace"])


class RootCertificates:
    """The reconciler; keys are namespaces."""

    name = "root-ca-certificate-publisher"

    def __init__(self, deps: Deps) -> None:
        self.queue: Queue[str] = Queue(deps.clock)
        self._client = deps.client_of("root-ca-cert-publisher")
        self._data = {"ca.crt": deps.settings.root_ca}
        self.namespaces = deps.informers.of(kinds.NAMESPACES)
        self.configmaps = deps.informers.of(kinds.CONFIGMAPS, fields=f"metadata.name={ROOT_CA}")
        self.namespaces.on_change(self._namespace_changed)
        self.configmaps.on_change(self._configmap_changed)

    async def reconcile(self, key: str) -> float | None:
        if not self._data["ca.crt"] or not _is_alive(self.namespaces.get(Key("", key))):
            return None
        there = self.configmaps.get(Key(key, ROOT_CA))
        if there is None:
            fresh: Json = {
                "metadata": {"name": ROOT_CA, "namespace": key, "annotations": {NOTE: DESCRIPTION}},
                "data": self._data,
            }
            await _create(self._client.create(kinds.CONFIGMAPS, fresh))
            return None
        notes = there["metadata"].get("annotations") or {}
        if there.get("data") != self._data or notes.get(NOTE) != DESCRIPTION:
            meta = {**there["metadata"], "annotations": {**notes, NOTE: DESCRIPTION}}
            wished = {**there, "metadata": meta, "data": self._data}
            try:
                await self._client.update(kinds.CONFIGMAPS, wished)
            except NotFound:
                self.queue.retry(key)
        return None

    def _namespace_changed(self, old: Json | None, new: Json | None) -> None:
        if new is not None:
            self.queue.add(new["metadata"]["name"])

    def _configmap_changed(self, old: Json | None, new: Json | None) -> None:
        self.queue.add((new or old or {})["metadata"]["namespace"])


def _is_alive(namespace: Json | None) -> bool:
    return namespace is not None and not namespace["metadata"].get("deletionTimestamp")


async def _create(creating: Awaitable[Json]) -> None:
    """Create; that it is there already, or its namespace going, is as well."""
    try:
        await creating
    except (AlreadyExists, NotFound):
        return
    except Forbidden as error:
        if not namespace_is_leaving(error):
            raise
