"""The API server's own libraries: quantities, addresses, URLs, named formats, versions."""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import total_ordering
from typing import Any
from urllib.parse import parse_qs, urlsplit

from sampan.api import names, quantity
from sampan.resources.cel import times
from sampan.resources.cel.errors import EvaluationError, no_such_overload
from sampan.resources.cel.values import NOTHING, Optional


class Library:
    """A value with methods of its own, found by name in `methods`."""

    cel_type = "dyn"
    methods: dict[str, Callable[..., Any]] = {}  # noqa: RUF012 - a table, never changed

    def cel_call(self, name: str, args: list[Any]) -> Any:
        method = self.methods.get(name)
        if method is None:
            raise no_such_overload()
        return method(self, *args)


@total_ordering
@dataclass(frozen=True, slots=True, eq=False)
class QuantityValue(Library):
    """`quantity("500m")`."""

    amount: quantity.Quantity
    cel_type = "kubernetes.Quantity"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, QuantityValue) and self.amount == other.amount

    def __lt__(self, other: QuantityValue) -> bool:
        return self.amount < other.amount

    def __hash__(self) -> int:
        return hash(self.amount)

    def compare(self, other: QuantityValue) -> int:
        return 0 if self == other else (-1 if self < other else 1)

    def plus(self, other: Any, sign: int = 1) -> QuantityValue:
        amount = quantity.parse(str(other)) if isinstance(other, int) else other.amount
        return QuantityValue(self.amount + (amount if sign > 0 else -amount))

    def as_integer(self) -> int:
        if self.amount != quantity.parse(str(self.amount.value)):
            raise EvaluationError("cannot convert value to integer")
        return self.amount.value

    def is_integer(self) -> bool:
        return self.amount == quantity.parse(str(self.amount.value))

    def sign(self) -> int:
        return self.compare(QuantityValue(quantity.parse("0")))


QuantityValue.methods = {
    "sign": QuantityValue.sign,
    "isGreaterThan": lambda this, other: other < this,
    "isLessThan": lambda this, other: this < other,
    "compareTo": QuantityValue.compare,
    "add": QuantityValue.plus,
    "sub": lambda this, other: this.plus(other, -1),
    "asInteger": QuantityValue.as_integer,
    "isInteger": QuantityValue.is_integer,
    "asApproximateFloat": lambda this: this.amount.nanos / 1e9,
}


@dataclass(frozen=True, slots=True)
class IpValue(Library):
    """`ip("192.0.2.1")`."""

    address: ipaddress.IPv4Address | ipaddress.IPv6Address
    cel_type = "net.IP"

    def __str__(self) -> str:
        return str(self.address)


def _is_global_unicast(this: IpValue) -> bool:
    address = this.address
    special = address.is_unspecified or address.is_loopback or address.is_multicast
    return not special and not address.is_link_local and str(address) != "255.255.255.255"


IpValue.methods = {
    "family": lambda this: this.address.version,
    "isUnspecified": lambda this: this.address.is_unspecified,
    "isLoopback": lambda this: this.address.is_loopback,
    "isLinkLocalMulticast": lambda this: (
        this.address.is_multicast
        and this.address
        in ipaddress.ip_network("224.0.0.0/24" if this.address.version == 4 else "ff02::/16")
    ),
    "isLinkLocalUnicast": lambda this: this.address.is_link_local,
    "isGlobalUnicast": _is_global_unicast,
}


@dataclass(frozen=True, slots=True)
class CidrValue(Library):
    """`cidr("192.0.2.0/24")`."""

    interface: ipaddress.IPv4Interface | ipaddress.IPv6Interface
    cel_type = "net.CIDR"

    def __str__(self) -> str:
        return str(self.interface)

    def contains_ip(self, other: Any) -> bool:
        address = other.address if isinstance(other, IpValue) else _ip(other).address
        return address in self.interface.network

    def contains_cidr(self, other: Any) -> bool:
        inner = other.interface if isinstance(other, CidrValue) else _cidr(other).interface
        mine, its = self.interface.network, inner.network
        return (
            mine.version == its.version
            and mine.prefixlen <= its.prefixlen
            and its.network_address in mine
        )


CidrValue.methods = {
    "containsIP": CidrValue.contains_ip,
    "containsCIDR": CidrValue.contains_cidr,
    "ip": lambda this: IpValue(this.interface.ip),
    "masked": lambda this: CidrValue(
        ipaddress.ip_interface(f"{this.interface.network.network_address}"
                               f"/{this.interface.network.prefixlen}")
    ),
    "prefixLength": lambda this: this.interface.network.prefixlen,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class UrlValue(Library):
    """`url("https://example.com/")`."""

    text: str
    cel_type = "kubernetes.URL"

    def __str__(self) -> str:
        return self.text


def _host_name(this: UrlValue) -> str:
    host = urlsplit(this.text).netloc.rpartition("@")[2]
    if host.startswith("["):
        return host[1 : host.index("]")]
    return host.partition(":")[0]


UrlValue.methods = {
    "getScheme": lambda this: urlsplit(this.text).scheme,
    "getHost": lambda this: urlsplit(this.text).netloc.rpartition("@")[2],
    "getHostname": _host_name,
    "getPort": lambda this: str(urlsplit(this.text).port or ""),
    "getEscapedPath": lambda this: urlsplit(this.text).path,
    "getQuery": lambda this: parse_qs(urlsplit(this.text).query, keep_blank_values=True),
}


@dataclass(frozen=True, slots=True)
class FormatValue(Library):
    """`format.dns1123Label()`; `validate` gives the complaints, or nothing."""

    name: str
    rule: Callable[[str], list[str]]
    cel_type = "kubernetes.NamedFormat"

    def validate(self, value: str) -> Optional:
        faults = self.rule(value)
        return Optional(faults, present=True) if faults else NOTHING


FormatValue.methods = {"validate": FormatValue.validate}

_UUID = re.compile(r"(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")


def _reads(read: Callable[[str], Any], says: str) -> Callable[[str], list[str]]:
    """A format by what reads it."""

    def check(value: str) -> list[str]:
        try:
            read(value)
        except (ValueError, EvaluationError):
            return [says]
        return []

    return check


def _uri(value: str) -> list[str]:
    parts = urlsplit(value)
    if parts.path.startswith("/") or (parts.scheme and (parts.netloc or parts.path)):
        return []
    return [f'parse "{value}": invalid URI for request']


_FORMATS: dict[str, Callable[[str], list[str]]] = {
    "uri": _uri,
    "uuid": lambda value: [] if _UUID.fullmatch(value) else ["does not match the UUID format"],
    "byte": _reads(lambda value: base64.b64decode(value, validate=True), "invalid base64"),
    "date": _reads(date.fromisoformat, "invalid date"),
    "datetime": _reads(times.timestamp, "invalid datetime"),
    "dns1123Label": names.dns1123_label,
    "dns1123Subdomain": names.dns1123_subdomain,
    "dns1035Label": names.dns1035_label,
    "qualifiedName": names.qualified_name,
    "labelValue": names.label_value,
    "dns1123LabelPrefix": lambda value: names.name_is_label(value, True),
    "dns1123SubdomainPrefix": lambda value: names.name_is_subdomain(value, True),
    "dns1035LabelPrefix": lambda value: names.name_is_dns1035_label(value, True),
}


@total_ordering
@dataclass(frozen=True, slots=True, eq=False)
class VersionValue(Library):
    """`semver("1.2.3")`."""

    parts: tuple[int, int, int]
    before: tuple[str, ...] = ()
    cel_type = "kubernetes.Semver"

    def _key(self) -> tuple[Any, ...]:
        words = tuple((0, int(word), "") if word.isdigit() else (1, 0, word)
                      for word in self.before)  # fmt: skip
        return (self.parts, not self.before, words)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VersionValue) and self._key() == other._key()

    def __lt__(self, other: VersionValue) -> bool:
        return self._key() < other._key()

    def __hash__(self) -> int:
        return hash(self._key())


VersionValue.methods = {
    "major": lambda this: this.parts[0],
    "minor": lambda this: this.parts[1],
    "patch": lambda this: this.parts[2],
    "isGreaterThan": lambda this, other: other < this,
    "isLessThan": lambda this, other: this < other,
    "compareTo": lambda this, other: 0 if this == other else (-1 if this < other else 1),
}
_VERSION = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?"
)


def _quantity(value: str) -> QuantityValue:
    try:
        return QuantityValue(quantity.parse(value))
    except quantity.QuantityError as error:
        raise EvaluationError(str(error)) from None


def _ip(value: str) -> IpValue:
    try:
        return IpValue(ipaddress.ip_address(value))
    except ValueError:
        raise EvaluationError(f"IP Address '{value}' parse error during conversion") from None


def _cidr(value: str) -> CidrValue:
    try:
        if "/" in value:
            return CidrValue(ipaddress.ip_interface(value))
    except ValueError:
        pass  # said below, in one place
    raise EvaluationError(f"network address parse error during conversion from string: {value}")


def _url(value: str) -> UrlValue:
    parts = urlsplit(value)
    if not parts.path.startswith("/") and not (parts.scheme and parts.netloc):
        raise EvaluationError(f"URL parse error during conversion from string: {value}")
    return UrlValue(value)


def _version(value: str) -> VersionValue:
    match = _VERSION.fullmatch(value)
    if match is None:
        raise EvaluationError(f"Invalid Semantic Version: {value}")
    major, minor, patch, before = match.groups()
    words = tuple(before.split(".")) if before else ()
    return VersionValue((int(major), int(minor), int(patch)), words)


def _canonical(value: str) -> bool:
    return str(_ip(value)) == value


def _is(make: Callable[[str], Any]) -> Callable[[str], bool]:
    def test(value: str) -> bool:
        try:
            make(value)
        except EvaluationError:
            return False
        return True

    return test


def _named(name: str) -> Optional:
    rule = _FORMATS.get(name)
    return Optional(FormatValue(name, rule), present=True) if rule else NOTHING


def _format(name: str) -> Callable[[], FormatValue]:
    return lambda: FormatValue(name, _FORMATS[name])


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "quantity": _quantity,
    "isQuantity": _is(_quantity),
    "ip": lambda value: IpValue(value.interface.ip) if isinstance(value, CidrValue) else _ip(value),
    "isIP": _is(_ip),
    "ip.isCanonical": _canonical,
    "cidr": _cidr,
    "isCIDR": _is(_cidr),
    "url": _url,
    "isURL": _is(_url),
    "semver": _version,
    "isSemver": _is(_version),
    "format.named": _named,
    **{f"format.{name}": _format(name) for name in _FORMATS},
}

METHOD_NAMES = frozenset(
    name
    for kind in (QuantityValue, IpValue, CidrValue, UrlValue, FormatValue, VersionValue)
    for name in kind.methods
)
