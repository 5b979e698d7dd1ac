"""The addresses of this machine's interfaces, as the kernel lists them; no netlink needed."""

from __future__ import annotations

import ctypes
import fcntl
import socket
import struct

SIOCGIFCONF = 0x8912
_IFREQ = 40
"""struct ifreq on 64-bit Linux: a name of 16 bytes, then a socket address."""


def local_addresses() -> list[tuple[str, str]]:
    """Interface and address, IPv4 before IPv6; link-local ones carry their interface."""
    return [*_four(), *_six()]


def _four() -> list[tuple[str, str]]:
    size = 256 * _IFREQ
    buffer = bytearray(size)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        view = memoryview(buffer)
        # The kernel wants a length and a pointer to a buffer that it fills.
        address = ctypes.addressof(ctypes.c_char.from_buffer(view))
        head = fcntl.ioctl(sock, SIOCGIFCONF, struct.pack("iL", size, address))
    length = struct.unpack("iL", head)[0]
    found = []
    for at in range(0, length, _IFREQ):
        name = bytes(buffer[at : at + 16]).split(b"\0")[0].decode()
        found.append((name, socket.inet_ntoa(bytes(buffer[at + 20 : at + 24]))))
    return found


def _six() -> list[tuple[str, str]]:
    try:
        with open("/proc/thread-self/net/if_inet6", encoding="ascii") as file:
            lines = [line.split() for line in file]
    except OSError:
        return []
    found = []
    for packed, _, _, scope, _, name in lines:
        text = socket.inet_ntop(socket.AF_INET6, bytes.fromhex(packed))
        found.append((name, f"{text}%{name}" if scope == "20" else text))
    return found
