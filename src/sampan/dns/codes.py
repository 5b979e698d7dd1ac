"""Numbers and their names: record types, classes, response codes, opcodes, header flags.

Types that have no name are written TYPE123, classes CLASS123 (RFC 3597).
"""

from __future__ import annotations

TYPES: dict[str, int] = {
    "None": 0, "A": 1, "NS": 2, "MD": 3, "MF": 4, "CNAME": 5, "SOA": 6, "MB": 7, "MG": 8, "MR": 9,
    "NULL": 10, "PTR": 12, "HINFO": 13, "MINFO": 14, "MX": 15, "TXT": 16, "RP": 17, "AFSDB": 18,
    "X25": 19, "ISDN": 20, "RT": 21, "SIG": 24, "KEY": 25, "PX": 26, "GPOS": 27, "AAAA": 28,
    "LOC": 29, "NXT": 30, "EID": 31, "NIMLOC": 32, "SRV": 33, "ATMA": 34, "NAPTR": 35, "KX": 36,
    "CERT": 37, "DNAME": 39, "OPT": 41, "APL": 42, "DS": 43, "SSHFP": 44, "IPSECKEY": 45,
    "RRSIG": 46, "NSEC": 47, "DNSKEY": 48, "DHCID": 49, "NSEC3": 50, "NSEC3PARAM": 51, "TLSA": 52,
    "SMIMEA": 53, "HIP": 55, "NINFO": 56, "RKEY": 57, "TALINK": 58, "CDS": 59, "CDNSKEY": 60,
    "OPENPGPKEY": 61, "CSYNC": 62, "ZONEMD": 63, "SVCB": 64, "HTTPS": 65, "SPF": 99, "UINFO": 100,
    "UID": 101, "GID": 102, "UNSPEC": 103, "NID": 104, "L32": 105, "L64": 106, "LP": 107,
    "EUI48": 108, "EUI64": 109, "TKEY": 249, "TSIG": 250, "IXFR": 251, "AXFR": 252, "MAILB": 253,
    "MAILA": 254, "ANY": 255, "URI": 256, "CAA": 257, "AVC": 258, "TA": 32768, "DLV": 32769,
    "Reserved": 65535,
}  # fmt: skip
TYPE_NAMES = {number: name for name, number in TYPES.items()}

CLASSES = {"IN": 1, "CS": 2, "CH": 3, "HS": 4, "NONE": 254, "ANY": 255}
CLASS_NAMES = {number: name for name, number in CLASSES.items()}

RCODES: dict[str, int] = {
    "NOERROR": 0, "FORMERR": 1, "SERVFAIL": 2, "NXDOMAIN": 3, "NOTIMP": 4, "REFUSED": 5,
    "YXDOMAIN": 6, "YXRRSET": 7, "NXRRSET": 8, "NOTAUTH": 9, "NOTZONE": 10, "BADSIG": 16,
    "BADKEY": 17, "BADTIME": 18, "BADMODE": 19, "BADNAME": 20, "BADALG": 21, "BADTRUNC": 22,
    "BADCOOKIE": 23,
}  # fmt: skip
RCODE_NAMES = {number: name for name, number in RCODES.items()}

A, NS, CNAME, SOA, PTR, HINFO, MX, TXT, AAAA, SRV, NAPTR = 1, 2, 5, 6, 12, 13, 15, 16, 28, 33, 35
DNAME, OPT, DS, RRSIG, NSEC, DNSKEY, NSEC3, CDS, CDNSKEY = 39, 41, 43, 46, 47, 48, 50, 59, 60
TSIG, IXFR, AXFR, ANY = 250, 251, 252, 255

IN, CHAOS = 1, 3

NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 0, 1, 2, 3, 4, 5, 16
NOTAUTH, BADSIG, BADKEY, BADTIME = 9, 16, 17, 18

QUERY, NOTIFY, UPDATE = 0, 4, 5

QR, AA, TC, RD, RA, Z, AD, CD = 0x8000, 0x400, 0x200, 0x100, 0x80, 0x40, 0x20, 0x10
DO = 0x8000
"""The DNSSEC OK bit, in the TTL field of the OPT record."""


def type_name(number: int) -> str:
    return TYPE_NAMES.get(number) or f"TYPE{number}"


def class_name(number: int) -> str:
    """`IN`; the class ANY has no name of its own, since a type has it."""
    name = CLASS_NAMES.get(number, "")
    return name if name and name not in TYPES else f"CLASS{number}"


def rcode_name(number: int) -> str:
    return RCODE_NAMES.get(number) or f"RCODE{number}"


def type_number(name: str) -> int | None:
    """The number of `AAAA` or `TYPE28`; None when there is none."""
    return _number(name, TYPES, "TYPE")


def class_number(name: str) -> int | None:
    return _number(name, CLASSES, "CLASS")


def _number(name: str, table: dict[str, int], prefix: str) -> int | None:
    upper = name.upper()
    if upper in table:
        return table[upper]
    digits = upper.removeprefix(prefix)
    if digits != upper and digits.isascii() and digits.isdigit() and int(digits) < 65536:
        return int(digits)
    return None
