"""Node ports at the loopback addresses, for modes whose rules cannot serve them: TCP only.

The moving process listens at 127.0.0.1 and ::1 and connects to endpoints itself. Opt-in by the
feature gate KubeProxyNFTablesLocalhostNodePorts, since a listener takes the port from others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sampan.api.meta import Key
from sampan.linux.base.helper import Helper, HelperError
from sampan.proxy.backend import Backend, BackendError
from sampan.proxy.model import Rules, label
from sampan.proxy.noticing import first_of
from sampan.proxy.settings import Settings
from sampan.std import log

GATE = "KubeProxyNFTablesLocalhostNodePorts"
LOOPBACK = {4: "127.0.0.1", 6: "::1"}
Ops = tuple[Any, Rules | None, Rules | None]
Listeners = dict[str, dict[str, Any]]
_LOG = log.get("proxy")


class LocalhostNodePorts:
    """Implements `Backend[Ops]` around another backend."""

    def __init__(self, inner: Backend[Any], helper: Helper) -> None:
        self._inner = inner
        self._helper = helper
        self.name = inner.name

    def probe(self) -> str:
        return self._inner.probe()

    def configure(self, settings: Settings) -> None:
        self._inner.configure(settings)

    def render(self, key: Key, old: Rules | None, new: Rules | None) -> Ops:
        return self._inner.render(key, old, new), old, new

    async def load(self, ops: Sequence[Ops]) -> None:
        await self._inner.load([inner for inner, _, _ in ops])
        had: Listeners = {}
        wanted: Listeners = {}
        for _, old, new in ops:
            had.update(listeners(old))
            wanted.update(listeners(new))
        changed = [one for name, one in wanted.items() if had.get(name) != one]
        gone = sorted(had.keys() - wanted.keys())
        if changed or gone:
            await self._ask({"close": gone, "portals": changed})

    async def resync(self, model: Mapping[Key, Rules]) -> None:
        await self._inner.resync(model)
        wanted = {name: one for rules in model.values() for name, one in listeners(rules).items()}
        await self._ask({"portals": list(wanted.values()), "only": sorted(wanted)})

    async def cleanup(self) -> None:
        await self._helper.close()
        await self._inner.cleanup()

    async def disturbed(self) -> None:
        await first_of(self._inner.disturbed(), self._helper.ended())

    async def _ask(self, question: dict[str, Any]) -> None:
        """A port that somebody else has is said, and is no reason to stop."""
        try:
            answer = await self._helper.ask(question)
        except HelperError as error:
            raise BackendError(f"node ports at the loopback: {error}") from error
        for name, why in answer["errors"].items():
            _LOG.warning("a node port is taken at the loopback address", port=name, why=why)


def listeners(rules: Rules | None) -> Listeners:
    """The listening ports of a Service. The host is no outsider: policy Local does not bind it."""
    found: Listeners = {}
    for port in rules.ports if rules else ():
        if not port.node_port or port.protocol != "tcp" or not port.cluster:
            continue
        address = LOOPBACK[port.family]
        name = f"{label(rules.key, port) if rules else ''}@{address}:{port.node_port}"
        found[name] = {
            "name": name,
            "protocol": "tcp",
            "family": port.family,
            "address": address,
            "number": port.node_port,
            "targets": [[target.ip, target.port] for target in port.cluster],
            "affinity": name if port.affinity_s else "",
            "affinity_s": port.affinity_s,
        }
    return found
