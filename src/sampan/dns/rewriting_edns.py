"""The rules of *rewrite* for EDNS options: local ones, NSID, client subnet."""

from __future__ import annotations

import string
from collections.abc import Callable
from ipaddress import ip_network

from sampan.dns.arguments import go_uint
from sampan.dns.corefile import CorefileError
from sampan.dns.message import Edns
from sampan.dns.plugin import Query
from sampan.dns.rewritten import Rewrite, Rewritten, Undo

NSID, SUBNET = 3, 8


def rule(words: list[str]) -> Rewrite:
    if len(words) < 2:
        raise CorefileError("too few arguments for an EDNS0 rule")
    kind, action, rest = words[0].lower(), words[1].lower(), words[2:]
    if action not in ("append", "replace", "set", "unset"):
        raise CorefileError(f'invalid action: "{action}"')
    revert = rest[-1:] == ["revert"] and action != "unset"
    rest = rest[:-1] if revert else rest
    code, data = _option(kind, action, rest)
    # A rule for local options does not see those that have a meaning of their own.
    unseen = kind == "local" and code in _KNOWN_OPTIONS and action != "unset"
    # Of these there may be one alone.
    single = kind == "subnet" or (kind == "local" and rest[-1][:1] == "{" and rest[-1][-1:] == "}")

    def rewrite(query: Query) -> Rewritten | None:
        value = data(query)
        edns = query.edns or Edns(4096)
        at = [n for n, (number, _) in enumerate(edns.options) if number == code and not unseen]
        if value is None:
            return None
        if (action == "replace" and not at) or (action == "append" and at and single):
            with_edns = query.message._replace(edns=edns)
            return Rewritten(query._replace(message=with_edns), done=False)
        options = list(edns.options)
        if action == "unset":
            options = [option for n, option in enumerate(options) if n not in at]
        elif at and action != "append":
            options[at[0]] = (code, value)
        else:
            options.append((code, value))
        message = query.message._replace(edns=edns._replace(options=tuple(options)))
        old = edns.options[at[0]] if at and action != "append" else None
        undo = (Undo(options=_restored(code, old)),) if revert else ()
        return Rewritten(query._replace(message=message), undo)

    return rewrite


def _restored(code: int, old: tuple[int, bytes] | None) -> Callable[[Edns], Edns]:
    """An option that comes back is what the client sent, or goes if it sent none."""

    def restore(edns: Edns) -> Edns:
        options = list(edns.options)
        for number, option in enumerate(options):
            if option[0] == code:
                options[number : number + 1] = [old] if old is not None else []
                break
        return edns._replace(options=tuple(options))

    return restore


_KNOWN_OPTIONS = frozenset((1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 15, 18, 19))
Data = Callable[[Query], bytes | None]
_WRONG_COUNT = {
    "local": "EDNS0 local rules require three or four args",
    "nsid": "EDNS0 NSID rules can accept no more than one arg",
    "subnet": "EDNS0 subnet rules require three or four args",
}
_WRONG_UNSET = {
    "local": "local unset action requires exactly two arguments",
    "nsid": "nsid unset action requires exactly one argument",
    "subnet": "subnet unset action requires exactly one argument",
}


def _option(kind: str, action: str, rest: list[str]) -> tuple[int, Data]:
    counts = {"local": 1 if action == "unset" else 2, "nsid": 0, "subnet": 2}
    if kind not in counts:
        raise CorefileError(f'invalid rule type "{kind}"')
    wanted = 0 if action == "unset" and kind != "local" else counts[kind]
    if len(rest) != wanted:
        raise CorefileError(_WRONG_UNSET[kind] if action == "unset" else _WRONG_COUNT[kind])
    if kind == "nsid":
        return NSID, lambda query: b""
    if kind == "subnet":
        return SUBNET, (lambda query: b"") if action == "unset" else _subnet(rest)
    try:
        code = int(rest[0], 0)
    except ValueError:
        raise CorefileError(f'strconv.ParseUint: parsing "{rest[0]}": invalid syntax') from None
    if not 0 <= code < 1 << 16:
        raise CorefileError(f'strconv.ParseUint: parsing "{rest[0]}": value out of range')
    return code, _local(rest[1] if len(rest) > 1 else "")


def _subnet(rest: list[str]) -> Data:
    bits = []
    for word, most, family in zip(rest, (32, 128), ("IPv4", "IPv6"), strict=True):
        try:
            bits.append(go_uint(word))
        except ValueError as bad:
            raise CorefileError(str(bad)) from bad
        if bits[-1] > most:
            raise CorefileError(f"invalid {family} bit mask length {word}")

    def data(query: Query) -> bytes:
        family = query.client.family
        length = bits[family - 1]
        network = ip_network(f"{query.client.address}/{length}", strict=False)
        packed = network.network_address.packed[: (length + 7) // 8]
        return bytes((0, family, length, 0)) + packed

    return data


def _local(text: str) -> Data:
    if text.startswith("{") and text.endswith("}"):
        return _variable(text[1:-1])
    digits = text[2:] if text.startswith("0x") else ""
    for char in digits:
        if char not in string.hexdigits:
            where = f"U+{ord(char):04X} {char!r}"
            raise CorefileError(f"encoding/hex: invalid byte: {where}")
    if len(digits) % 2:
        raise CorefileError("encoding/hex: odd length hex string")
    value = bytes.fromhex(digits) if text.startswith("0x") else text.encode()
    return lambda query: value


def _variable(name: str) -> Data:
    known: dict[str, Data] = {
        "qname": lambda q: q.qname.encode(),
        "qtype": lambda q: q.type.to_bytes(2),
        "client_ip": lambda q: _packed(q.client.address),
        "client_port": lambda q: q.client.port.to_bytes(2),
        "protocol": lambda q: q.client.proto.encode(),
        "server_ip": _server_ip,
        "server_port": lambda q: q.client.local_port.to_bytes(2),
    }
    if name in known:
        return known[name]
    if "/" not in name:
        raise CorefileError(f'unsupported variable name "{{{name}}}"')

    def fact(query: Query) -> bytes | None:
        facts = query.metadata or {}
        return facts[name]().encode() or None if name in facts else None

    return fact


def _server_ip(query: Query) -> bytes | None:
    """Of the socket: a wildcard one is no address of the client's family, if that is IPv4."""
    packed = _packed(query.bound)
    return packed if len(packed) == 4 or query.client.family == 2 else None


def _packed(address: str) -> bytes:
    return ip_network(address).network_address.packed
