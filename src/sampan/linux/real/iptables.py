"""iptables by its own programs; legacy and nf_tables variants are told apart by their version."""

from __future__ import annotations

import contextlib
import os
import re
import select
import shutil
import socket
import struct
import subprocess
from typing import BinaryIO

from sampan.linux.base.iptables import IptablesError

PROGRAMS = {4: "iptables", 6: "ip6tables"}
TABLES = ("filter", "nat", "mangle")
GET_INFO = 64
INFO_SIZE = 84
LIMIT_S = 120.0
NETLINK_NETFILTER = 12
GETGEN, GETTABLE = (10 << 8) | 16, (10 << 8) | 1
DUMP = 0x301
NFT_FAMILIES = {4: 2, 6: 10}


class RealIptables:
    """Implements `Iptables` for one family of the namespace in which it was made."""

    def __init__(self, family: int, lock_file: str = "", *, limit_s: float = LIMIT_S) -> None:
        self.family = family
        self._program = PROGRAMS[family]
        self._limit_s = limit_s
        self._environment: dict[str, str] | None = None
        if lock_file:
            # The lock of legacy iptables is one file for the machine: a namespace has its own.
            self._environment = {**os.environ, "XTABLES_LOCKFILE": lock_file}
        self._version = ""
        self._places: dict[str, str] = {}
        """Where the programs are, once they were looked for."""

    def version(self) -> str:
        if not self._version:
            if not shutil.which(f"{self._program}-restore"):
                raise IptablesError(
                    f"{self._program}-restore is missing; install the package iptables"
                )
            text = self._run([self._program, "--version"])
            found = re.search(r"v(\S+)(?: \((\w+)\))?", text)
            if not found:
                raise IptablesError(f"{self._program} --version says {text.strip()!r}")
            self._version = f"{found[1]} {found[2] or 'legacy'}"
        return self._version

    def save(self, *, counters: bool = False) -> str:
        if not self._used():
            # A fresh namespace: no need to start a program that would say so.
            return ""
        return self._run([f"{self._program}-save", *(["-c"] if counters else [])])

    def _used(self) -> bool:
        """Whether any table exists, in either variant."""
        # Of this thread: /proc/net is that of the process, which may be in another namespace.
        names = f"/proc/thread-self/net/{'ip6' if self.family == 6 else 'ip'}_tables_names"
        with contextlib.suppress(OSError), open(names, encoding="ascii") as file:
            if file.read().strip():
                return True
        try:
            return not _nft_tables(self.family).isdisjoint(TABLES)
        except OSError:
            return True

    def restore(self, script: str) -> None:
        self._run([f"{self._program}-restore", "--noflush", "--wait", "5"], script)

    def fingerprint(self) -> bytes:
        """The generation of nftables, or the sizes of the legacy tables."""
        if "nf_tables" in self.version():
            return generation()
        kind = socket.AF_INET6 if self.family == 6 else socket.AF_INET
        level = socket.IPPROTO_IPV6 if self.family == 6 else socket.IPPROTO_IP
        with socket.socket(kind, socket.SOCK_RAW, socket.IPPROTO_RAW) as sock:
            parts = []
            for table in TABLES:
                ask = table.encode().ljust(32, b"\0").ljust(INFO_SIZE, b"\0")
                parts.append(_info(sock, level, ask))
            return b"".join(parts)

    def allow_localnet(self) -> None:
        path = "/proc/sys/net/ipv4/conf/all/route_localnet"
        with contextlib.suppress(OSError), open(path, "w", encoding="ascii") as file:
            file.write("1")

    def _run(self, command: list[str], script: str = "") -> str:
        """A file in memory holds the script, another one takes what is printed: with pipes, and a
        wait that looks again and again, starting the program cost half as much again.
        """
        program = command[0]
        command[0] = self._places.setdefault(program, shutil.which(program) or program)
        with _in_memory(script) as given, _in_memory() as said, _in_memory() as wrong:
            try:
                child = subprocess.Popen(
                    command, stdin=given, stdout=said, stderr=wrong, env=self._environment
                )
            except OSError as error:
                raise IptablesError(f"{program}: {error}") from error
            with child:
                if not _ended(child, self._limit_s):
                    child.kill()
                    raise IptablesError(f"{program}: no end after {self._limit_s:.0f} s")
            if child.returncode:
                lines = _told(wrong).strip().splitlines()
                raise IptablesError(f"{program}: {' '.join(lines[:2])}")
            return _told(said)


def _told(file: BinaryIO) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def _in_memory(text: str = "") -> BinaryIO:
    file = os.fdopen(os.memfd_create("iptables"), "w+b")
    file.write(text.encode())
    file.seek(0)
    return file


def _ended(child: subprocess.Popen[bytes], limit_s: float) -> bool:
    """Wait until a program ends, woken by the kernel; False if it takes too long."""
    descriptor = os.pidfd_open(child.pid)
    try:
        look = select.poll()
        look.register(descriptor, select.POLLIN)
        return bool(look.poll(limit_s * 1000))
    finally:
        os.close(descriptor)


def _info(sock: socket.socket, level: int, ask: bytes) -> bytes:
    """Legacy tables: hooks, number of entries and size. Python cannot pass a name with getsockopt,
    so this is a plain call of the C library.
    """
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(ask, INFO_SIZE)
    size = ctypes.c_uint32(INFO_SIZE)
    code = library.getsockopt(sock.fileno(), level, GET_INFO, buffer, ctypes.byref(size))
    return buffer.raw if code == 0 else b""


def _nft_tables(family: int) -> set[str]:
    """The names of nftables' tables in a family."""
    found: set[str] = set()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as sock:
        sock.settimeout(5)
        sock.send(struct.pack("=IHHIIBBH", 20, GETTABLE, DUMP, 1, 0, NFT_FAMILIES[family], 0, 0))
        while True:
            data = sock.recv(1 << 16)
            at = 0
            while at + 16 <= len(data):
                length, kind = struct.unpack_from("=IH", data, at)
                if kind in (2, 3):
                    return found
                # Behind the headers comes the attribute NFTA_TABLE_NAME.
                size = struct.unpack_from("=H", data, at + 20)[0]
                found.add(data[at + 24 : at + 20 + size].rstrip(b"\0").decode())
                at += (length + 3) & ~3


def generation() -> bytes:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as sock:
        sock.settimeout(5)
        sock.send(struct.pack("=IHHIIBBH", 20, GETGEN, 1, 1, 0, 0, 0, 0))
        data = sock.recv(4096)
        # Header 16, nfgenmsg 4, then the attribute NFTA_GEN_ID.
        return data[24:28]
