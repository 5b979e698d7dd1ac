"""The functions that every expression may call, and what an expression may ask about a query."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from typing import Any

from sampan.dns import codes
from sampan.dns.plugin import Query

Test = Callable[[Any], Any]


def _split(text: str, sign: str, limit: int = -1) -> list[str]:
    if not sign:
        return list(text)
    return text.split(sign, limit - 1 if limit > 0 else -1)


def _flat(items: Iterable[Any]) -> list[Any]:
    return [x for item in items for x in (_flat(item) if isinstance(item, list) else [item])]


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "len": len, "int": int, "float": float, "abs": abs, "ceil": math.ceil, "floor": math.floor,
    "round": round, "string": lambda value: _shown(value), "lower": str.lower, "upper": str.upper,
    "trim": lambda text, signs=None: text.strip(signs),
    "trimPrefix": lambda text, start: text.removeprefix(start),
    "trimSuffix": lambda text, end: text.removesuffix(end),
    "hasPrefix": lambda text, start: text.startswith(start),
    "hasSuffix": lambda text, end: text.endswith(end),
    "split": _split,
    "replace": lambda text, old, new: text.replace(old, new),
    "repeat": lambda text, count: text * count,
    "join": lambda items, sign="": sign.join(items),
    "indexOf": lambda text, part: text.find(part),
    "lastIndexOf": lambda text, part: text.rfind(part),
    "first": lambda items: items[0] if items else None,
    "last": lambda items: items[-1] if items else None,
    "take": lambda items, count: items[:count],
    "get": lambda items, key: items.get(key) if isinstance(items, Mapping) else items[key],
    "keys": lambda table: list(table), "values": lambda table: list(table.values()),
    "reverse": lambda items: items[::-1],
    "concat": lambda *lists: [x for one in lists for x in one],
    "flatten": _flat, "uniq": lambda items: list(dict.fromkeys(items)),
    "max": lambda *v: max(_flat(v)), "min": lambda *v: min(_flat(v)),
    "sum": lambda items: sum(items), "mean": lambda *v: sum(_flat(v)) / len(_flat(v)),
    "sort": lambda items, order="asc": sorted(items, reverse=order == "desc"),
    "bitand": lambda a, b: a & b, "bitor": lambda a, b: a | b, "bitxor": lambda a, b: a ^ b,
    "bitnot": lambda a: ~a, "bitshl": lambda a, b: a << b, "bitshr": lambda a, b: a >> b,
}  # fmt: skip

PREDICATES: dict[str, Callable[[Iterable[Any], Test], Any]] = {
    "any": lambda items, test: any(test(item) for item in items),
    "all": lambda items, test: all(test(item) for item in items),
    "none": lambda items, test: not any(test(item) for item in items),
    "one": lambda items, test: sum(bool(test(item)) for item in items) == 1,
    "count": lambda items, test: sum(bool(test(item)) for item in items),
    "filter": lambda items, test: [item for item in items if test(item)],
    "map": lambda items, test: [test(item) for item in items],
    "find": lambda items, test: next((item for item in items if test(item)), None),
    "findIndex": lambda items, test: next((i for i, x in enumerate(items) if test(x)), None),
    "findLast": lambda items, test: next((x for x in reversed(list(items)) if test(x)), None),
    "groupBy": lambda items, key: {k: list(v) for k, v in groupby(sorted(items, key=key), key)},
    "sortBy": lambda items, key: sorted(items, key=key),
}

ASKED: dict[str, str] = {
    "incidr": "bool", "metadata": "string", "type": "string", "name": "string", "class": "string",
    "proto": "string", "size": "int", "client_ip": "string", "port": "string", "id": "int",
    "opcode": "int", "do": "bool", "bufsize": "int", "server_ip": "string",
    "server_port": "string",
}  # fmt: skip
"""What `environment` has, with the types of what it returns."""


def environment(query: Query) -> dict[str, Any]:
    """What an expression may ask about a query."""
    client, facts = query.client, query.metadata or {}
    edns = query.edns
    return {
        "incidr": _in_network,
        "metadata": lambda label: facts[label]() if label in facts else "",
        "type": lambda: codes.type_name(query.type),
        "name": lambda: query.name,
        "class": lambda: codes.class_name(query.cls),
        "proto": lambda: client.proto,
        "size": lambda: 16 + len(query.qname) + 1 + (11 if edns else 0),
        "client_ip": lambda: client.address,
        "port": lambda: str(client.port),
        "id": lambda: query.message.id,
        "opcode": lambda: query.message.opcode,
        "do": lambda: query.do,
        "bufsize": lambda: query.size,
        "server_ip": lambda: client.local,
        "server_port": lambda: str(client.local_port),
    }


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "<nil>" if value is None else str(value)


def _in_network(address: str, network: str) -> bool:
    return ipaddress.ip_address(address) in ipaddress.ip_network(network, strict=False)
