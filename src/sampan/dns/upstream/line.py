"""The words of a `forward` line: which names go where, to whom, and in what manner."""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import os
import socket
from collections.abc import Callable
from typing import Any

from sampan.dns import codes, names
from sampan.dns.arguments import BadDuration, duration, go_uint, shown, whole_number
from sampan.dns.corefile import CorefileError
from sampan.dns.exchange import ask_blocking
from sampan.dns.message import query as question
from sampan.dns.rdata import text
from sampan.dns.setup import Args, is_domain
from sampan.dns.tls import client_context
from sampan.dns.upstream.upstream import Manner, Target, Upstream

MAX_TARGETS = 15
PORTS = {"dns": 53, "tls": 853, "https": 443}


@dataclasses.dataclass(slots=True)
class Rules:
    """Which names go where, and how often it is tried."""

    zone: str = "."
    excepted: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    policy: str = "random"
    max_fails: int = 2
    max_concurrent: int = 0
    attempts: int | None = None
    force_tcp: bool = False
    prefer_udp: bool = False
    fail_fast: bool = False
    failover: tuple[int, ...] = ()
    next_rcodes: tuple[int, ...] = ()
    next_on_nodata: bool = False
    resolver: tuple[str, ...] = ()

    def matches(self, name: str) -> bool:
        if not names.is_below(name, self.zone):
            return False
        return name == self.zone or not names.longest_zone(name, self.excepted)


Reader = Callable[[], None]


class Line:
    """Each property is a method of its name; `read` gives the upstreams."""

    def __init__(self, args: Args) -> None:
        self.args = args
        self.rules = Rules()
        self.manner: dict[str, Any] = {}
        self.server_name = ""
        self.tls_args: list[str] = []
        self.from_resolv_conf = False

    def read(self) -> list[Upstream]:
        """Raises CorefileError."""
        args, rules = self.args, self.rules
        words = args.rest()
        if len(words) == 1 and words[0].startswith(("/", "./")):
            # Published examples leave the zone out, or the blank behind its dot.
            words = [".", words[0].removeprefix(".")]
        if not words and args.next_arg():
            raise args.wrong_count()
        if words and not args.zones(words[:1]):
            raise CorefileError(f"unable to normalize '{words[0]}'")
        if len(words) < 2:
            raise args.wrong_count()
        zones = args.zones(words[:1])
        rules.zone = zones[0]
        if len(zones) > 1:
            args.world.log.warning(
                f"plugin/forward: Unsupported CIDR notation: '{words[0]}' expands to multiple "
                f"zones. Using only '{zones[0]}'."
            )
        for name in args.properties():
            reader: Reader | None = getattr(self, "_do_" + name, None)
            if reader is None:
                raise args.unknown()
            reader()
        return self._made(words[1:])

    def _made(self, words: list[str]) -> list[Upstream]:
        manner = Manner(**self.manner)
        if manner.max_age_s and manner.max_age_s < manner.expire_s:
            raise CorefileError(
                f"max_age ({shown(manner.max_age_s)}) must not be less than "
                f"expire ({shown(manner.expire_s)})"
            )
        targets = list(dict.fromkeys(t for word in words for t in self._targets(word)))
        if len(targets) > MAX_TARGETS:
            raise CorefileError(f"more than {MAX_TARGETS} TOs configured: {len(targets)}")
        if self.tls_args or any(target.transport != "dns" for target in targets):
            context = client_context(self.tls_args, self.args.path)
            manner = dataclasses.replace(manner, tls=context)
        self.from_resolv_conf = any(word.endswith("resolv.conf") for word in words)
        world = self.args.world
        return [
            Upstream(target, manner, world.clock, world.chance, world.counters)
            for target in targets
        ]

    def _targets(self, word: str) -> list[Target]:
        transport, sign, rest = word.partition("://")
        if not sign:
            transport, rest = "dns", word
        if transport not in PORTS:
            raise CorefileError(
                f"'{transport}' is not supported as a destination protocol in forward: {word}"
            )
        if transport == "https" and "/" in rest:
            raise CorefileError(
                "paths are not allowed in HTTPS upstream addresses (the /dns-query path is used "
                f"by default): {word}"
            )
        if rest.startswith("/") or (transport == "dns" and os.path.isfile(rest)):
            return self._from_file(rest)
        host, port, name = _split(rest)
        if not host:
            raise CorefileError(f'invalid address: "{word}"')
        if name and self.server_name:
            raise CorefileError(
                f"both forward ('{self.server_name}') and proxy level ('{name}') TLS servernames "
                f"are set for upstream proxy '{transport}://{host}:{port or PORTS[transport]}'"
            )
        addresses = [host] if _is_address(host) else self._resolved(host)
        known = name or self.server_name
        return [Target(transport, a, port or PORTS[transport], known) for a in addresses]

    def _from_file(self, path: str) -> list[Target]:
        try:
            with open(path, encoding="utf-8") as file:
                lines = [line.split() for line in file]
        except OSError:
            raise CorefileError(
                f'failed to resolve "{path}": lookup {path}: no such host'
            ) from None
        found = [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"]
        if not found:
            # The machine has no resolver; cluster names must be answered all the same.
            self.args.world.log.warning(f"plugin/forward: no nameservers found in {path}")
        return [Target("dns", address.partition("%")[0], 53) for address in found]

    def _resolved(self, host: str) -> list[str]:
        if self.rules.resolver:
            return self._resolved_by(host)
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)
        except (OSError, UnicodeError) as bad:
            raise CorefileError(
                f'failed to resolve "{host}": lookup {host} on resolver:53: {bad}'
            ) from bad
        return list(dict.fromkeys(str(item[4][0]) for item in found))

    def _resolved_by(self, host: str) -> list[str]:
        """The addresses that the servers after `resolver` know."""
        found: list[str] = []
        for word in self.rules.resolver:
            server, port, _ = _split(word)
            for kind in (codes.A, codes.AAAA):
                asked = question(names.fqdn(host), kind, self.args.world.chance.getrandbits(16))
                with contextlib.suppress(OSError, ValueError):
                    reply = ask_blocking(asked, server, port or 53, timeout_s=2)
                    found += (text(r) for r in reply.answer if r.type == kind)
            if found:
                return found
        raise CorefileError(f'failed to resolve "{host}": lookup {host}: no such host')

    # Properties

    def _do_except(self) -> None:
        words = self.args.some()
        self.rules.excepted += tuple(z for word in words for z in self.args.zones([word]))

    def _do_max_fails(self) -> None:
        self.rules.max_fails = self._count()

    def _do_max_connect_attempts(self) -> None:
        self.rules.attempts = self._count()

    def _do_health_check(self) -> None:
        words = self.args.some()
        self.manner["probe_every_s"] = self._period(words[0], "health_check")
        rest = words[1:]
        while rest:
            option = rest.pop(0)
            if option == "no_rec":
                self.manner["probe_recursion"] = False
            elif option == "domain" and rest:
                domain = rest.pop(0)
                if not is_domain(domain):
                    raise CorefileError(f"health_check: invalid domain name {domain}")
                self.manner["probe_domain"] = names.fqdn(domain).lower()
            elif option == "domain":
                raise self.args.wrong_count()
            else:
                raise CorefileError(f"health_check: unknown option {option}")

    def _do_force_tcp(self) -> None:
        self.args.nothing()
        self.rules.force_tcp = True

    def _do_prefer_udp(self) -> None:
        self.args.nothing()
        self.rules.prefer_udp = True

    def _do_tls(self) -> None:
        self.tls_args = self.args.rest()
        if len(self.tls_args) > 3:
            raise self.args.wrong_count()

    def _do_tls_servername(self) -> None:
        self.server_name = self.args.taken()

    def _do_expire(self) -> None:
        self.manner["expire_s"] = self._period(self.args.taken(), "expire")

    def _do_max_age(self) -> None:
        self.manner["max_age_s"] = self._period(self.args.taken(), "max_age")

    def _do_max_idle_conns(self) -> None:
        word = self.args.taken()  # our connections are few in any case
        if whole_number(word) < 0:
            raise CorefileError(f"max_idle_conns can't be negative: {word}")

    def _do_read_timeout(self) -> None:
        word = self.args.taken()
        try:
            seconds = duration(word)
        except BadDuration as bad:
            raise CorefileError(str(bad)) from bad
        if seconds <= 0:
            raise CorefileError(f"read_timeout must be positive: {shown(seconds)}")
        self.manner["timeout_s"] = seconds

    def _do_doh_method(self) -> None:
        method = self.args.taken()
        if method not in ("POST", "GET"):
            raise CorefileError("doh_method must be either POST or GET")
        self.manner["get"] = method == "GET"

    def _do_policy(self) -> None:
        policy = self.args.taken()
        if policy not in ("random", "round_robin", "sequential"):
            raise self.args.error(f"unknown policy '{policy}'")
        self.rules.policy = policy

    def _do_max_concurrent(self) -> None:
        word = self.args.taken()
        self.rules.max_concurrent = whole_number(word)
        if self.rules.max_concurrent < 0:
            raise CorefileError(f"max_concurrent can't be negative: {word}")

    def _do_next(self) -> None:
        self.rules.next_rcodes += tuple(_rcode(word) for word in self.args.some())

    def _do_next_on_nodata(self) -> None:
        self.args.nothing()
        self.rules.next_on_nodata = True

    def _do_failfast_all_unhealthy_upstreams(self) -> None:
        self.args.nothing()
        self.rules.fail_fast = True

    def _do_failover(self) -> None:
        for word in self.args.some():
            if _rcode(word) == codes.NOERROR:
                raise CorefileError("NoError cannot be used in failover")
            self.rules.failover += (_rcode(word),)

    def _do_resolver(self) -> None:
        for word in self.args.some():
            host = _split(word)[0]
            if not _is_address(host):
                raise CorefileError(f'resolver must be an IP address or IP:port: "{word}"')
            self.rules.resolver += (word,)

    def _do_source_address(self) -> None:
        word = self.args.taken()
        if not _is_address(word):
            raise self.args.error(f"invalid IP address: {word}")
        self.manner["source"] = word

    def _count(self) -> int:
        try:
            return go_uint(self.args.taken(), 32)
        except ValueError as bad:
            raise CorefileError(str(bad)) from bad

    def _period(self, word: str, name: str) -> float:
        try:
            seconds = duration(word)
        except BadDuration as bad:
            raise CorefileError(str(bad)) from bad
        if seconds < 0:
            told = int(seconds * 1e9) if name == "health_check" else word
            raise CorefileError(f"{name} can't be negative: {told}")
        return seconds


def _rcode(word: str) -> int:
    found = codes.RCODES.get(word.upper())
    if found is None:
        raise CorefileError(f"{word} is not a valid rcode")
    return found


def _split(text: str) -> tuple[str, int, str]:
    """Host, port (0 when none is given) and TLS name of `9.9.9.9%dns.quad9.net:853`."""
    rest, port = text, 0
    if text.startswith("["):
        inside, _, tail = text[1:].partition("]")
        rest, port = inside, int(tail[1:]) if tail.startswith(":") and tail[1:].isdigit() else 0
    elif text.count(":") == 1 and text.rpartition(":")[2].isdigit():
        rest, port = text.rpartition(":")[0], int(text.rpartition(":")[2])
    host, _, name = rest.partition("%")
    return host, port, name


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
