"""The properties of *kubernetes*: what shapes answers, what to watch, and where."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from sampan.api import selectors
from sampan.client.kubeconfig import BadKubeconfig, Connection, load
from sampan.dns.arguments import BadDuration, Fall, duration, go_int, whole_number
from sampan.dns.corefile import CorefileError
from sampan.dns.kube.options import Options
from sampan.dns.kube.watch import Wanted
from sampan.dns.setup import Args


class Reader:
    """The properties; each is a method of its name."""

    def __init__(self, args: Args, options: Options) -> None:
        self.args = args
        self.options = options
        self.fall = Fall()
        self.startup_timeout_s = 5.0
        self.connection: Connection | None = None
        self._endpoint_url = ""
        self._tls_files: tuple[str, str, str] | None = None
        self._watching: dict[str, Any] = {}
        self._read()
        self.wanted = Wanted(
            pods=options.pods == "verified", imports=bool(options.multi_zones), **self._watching
        )

    def _read(self) -> None:
        for name in self.args.properties():
            reader: Callable[[], None] | None = getattr(self, "_on_" + name, None)
            if reader is None:
                raise self.args.unknown()
            reader()
        self._check()
        if self._endpoint_url:
            self.connection = self._connected()

    def _connected(self) -> Connection:
        server = (
            self._endpoint_url if "://" in self._endpoint_url else f"http://{self._endpoint_url}"
        )
        if self._tls_files is None:
            return Connection(server)
        cert, key, ca = (self._content(path) for path in self._tls_files)
        return Connection(server, ca=ca, cert=cert, key=key)

    def _content(self, path: str) -> bytes:
        try:
            with open(path, "rb") as file:
                return file.read()
        except OSError as bad:
            raise CorefileError(f"unable to read {path}: {bad.strerror}") from bad

    def _check(self) -> None:
        options, args = self.options, self.args
        if options.namespaces and self._watching.get("namespace_labels"):
            raise args.error("namespaces and namespace_labels cannot both be set")
        for zone in options.multi_zones:
            if zone not in options.zones:
                raise args.error(
                    f"is not authoritative for the multicluster zone {zone} "
                    f"(authoritative zones: [{' '.join(options.zones)}])"
                )
        if options.zonal and not self._watching.get("endpoints", True):
            raise args.error("zonal requires the endpoint cache; remove noendpoints")

    def _on_endpoint_pod_names(self) -> None:
        self.args.none()
        self.options.endpoint_pod_names = True

    def _on_pods(self) -> None:
        mode = self.args.one()
        if mode not in ("disabled", "insecure", "verified"):
            raise CorefileError(
                f"wrong value for pods: {mode},  must be one of: disabled, verified, insecure"
            )
        self.options.pods = mode

    def _on_namespaces(self) -> None:
        self.options.namespaces |= frozenset(self.args.some())

    def _on_endpoint(self) -> None:
        words = self.args.some()
        self._endpoint_url = words[0]
        if len(words) > 1:
            self.args.world.log.warning(
                "plugin/kubernetes: Multiple endpoints have been deprecated, only the first "
                f"specified endpoint '{words[0]}' is used"
            )

    def _on_tls(self) -> None:
        words = self.args.rest()
        if len(words) != 3:
            raise self.args.wrong_count()
        self._tls_files = (words[0], words[1], words[2])

    def _on_labels(self) -> None:
        self._watching["labels"] = _selector(" ".join(self.args.some()), "label")

    def _on_namespace_labels(self) -> None:
        words = self.args.some()
        self._watching["namespace_labels"] = _selector(" ".join(words), "namespace_label")

    def _on_fallthrough(self) -> None:
        self.fall = Fall.from_args(self.args.rest())

    def _on_ttl(self) -> None:
        word = self.args.some()[0]
        ttl = whole_number(word)
        if not 0 <= ttl <= 3600:
            raise self.args.error(f"ttl must be in range [0, 3600]: {ttl}")
        self.options.ttl = ttl

    def _on_noendpoints(self) -> None:
        self.args.none()
        self._watching["endpoints"] = False

    def _on_snapshot(self) -> None:
        self._watching["snapshot"] = self.args.path(self.args.one())

    def _on_zonal(self) -> None:
        self.args.none()
        self.options.zonal = True

    def _on_ignore(self) -> None:
        words = self.args.rest()
        if words and words[0] != "empty_service":
            raise CorefileError(f"unable to parse ignore value: '{words[0]}'")
        self.options.ignore_empty = bool(words)

    def _on_kubeconfig(self) -> None:
        words = self.args.rest()
        if not 1 <= len(words) <= 2:
            raise self.args.wrong_count()
        try:
            self.connection = load(words[0], *words[1:])
        except (BadKubeconfig, OSError) as bad:
            if not os.path.exists(words[0]):
                raise CorefileError(f"stat {words[0]}: no such file or directory") from bad
            raise CorefileError(str(bad)) from bad

    def _on_multicluster(self) -> None:
        self.options.multi_zones = tuple(
            zone for word in self.args.rest() for zone in self.args.zones([word])
        )

    def _on_startup_timeout(self) -> None:
        word = self.args.some()[0]
        try:
            self.startup_timeout_s = duration(word)
        except BadDuration as bad:
            raise CorefileError(f"failed to parse startup_timeout: {word}, {bad}") from bad

    def _on_apiserver_qps(self) -> None:
        self._number(_float)

    def _on_apiserver_burst(self) -> None:
        self._number(go_int)

    def _on_apiserver_max_inflight(self) -> None:
        self._number(go_int)

    def _number(self, kind: Callable[[str], float]) -> None:
        """Limits of a client that asks often; ours lists once and watches, and needs none."""
        name, word = self.args.word, self.args.one()
        try:
            value = kind(word)
        except ValueError as bad:
            raise self.args.error(f'invalid {name} "{word}": {bad}') from bad
        if value < 0:
            raise self.args.error(f"{name} must be >= 0")


def _float(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise ValueError(f'strconv.ParseFloat: parsing "{word}": invalid syntax') from None


def _selector(text: str, what: str) -> str:
    """The text when it reads as a selector. Raises CorefileError in upstream's words."""
    start = f"unable to parse {what} selector value: '{text}': "
    try:
        selectors.parse(text)
    except selectors.SelectorError as bad:
        why = f'couldn\'t parse the selector string "{text}": {bad}'
        raise CorefileError(start + why) from bad
    if "!=" in text:
        raise CorefileError(start + '"!=" is not a valid label selector operator')
    return text
