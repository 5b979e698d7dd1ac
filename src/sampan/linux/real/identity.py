"""Who a container's process is and what it may do: user, groups, capabilities (capabilities(7))."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sampan.linux.base.capabilities import CAPABILITIES
from sampan.linux.base.processes import Rights, User
from sampan.linux.real import syscalls as sc


class UnknownUser(Exception):
    """The image or the pod names a user that its files do not have."""


@dataclass(frozen=True, slots=True)
class Identity:
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


def resolve(user: User, passwd: Iterable[str], group: Iterable[str]) -> Identity:
    """Look `user` up in the lines of the container's own /etc/passwd and /etc/group."""
    name, uid, gid, home = user.name or "0", -1, 0, "/"
    for row in _rows(passwd, 6):
        if row[0] == name or (name.isdigit() and row[2] == name):
            name, uid, gid, home = row[0], int(row[2]), int(row[3]), row[5] or "/"
            break
    if uid < 0:
        if not name.isdigit():
            raise UnknownUser(f"unable to find user {name}: no matching entries in passwd file")
        uid = int(name)
    own: list[int] = []
    wanted = -1
    for row in _rows(group, 4):
        if user.group and user.group in (row[0], row[2]):
            wanted = int(row[2])
        if name in row[3].split(","):
            own.append(int(row[2]))
    if user.group:
        if wanted < 0 and not user.group.isdigit():
            raise UnknownUser(f"unable to find group {user.group}: no matching entries in group")
        gid = wanted if wanted >= 0 else int(user.group)
        own = []  # a group named beside the user stands alone, as in `USER user:group`
    extra = (*user.groups, *(own if user.own_groups else ()))
    return Identity(uid, gid, tuple(dict.fromkeys((gid, *extra))), home)


def resolve_here(user: User) -> Identity:
    """The same from the files of the calling process's root."""
    return resolve(user, _lines("/etc/passwd"), _lines("/etc/group"))


def assume(identity: Identity, rights: Rights) -> None:
    """Become it for good. Of capabilities only the bounding set is cut: at the exec that follows,
    root is given all of it and anybody else nothing, which is what upstream's runtimes do.
    """
    if not rights.privileged:
        keep = {CAPABILITIES.index(name) for name in rights.capabilities if name in CAPABILITIES}
        for bit in range(last_capability() + 1):
            if bit not in keep:
                sc.prctl(sc.PR_CAPBSET_DROP, bit)
    os.setgroups(identity.groups)
    os.setresgid(identity.gid, identity.gid, identity.gid)
    os.setresuid(identity.uid, identity.uid, identity.uid)
    if rights.no_new_privileges:
        sc.prctl(sc.PR_SET_NO_NEW_PRIVS, 1)


def last_capability() -> int:
    """The highest bit that this kernel knows."""
    with open("/proc/sys/kernel/cap_last_cap") as file:
        return int(file.read())


def _rows(lines: Iterable[str], columns: int) -> Iterator[list[str]]:
    for line in lines:
        row = line.rstrip("\n").split(":")
        if len(row) >= columns and row[2].isdigit():
            yield row


def _lines(path: str) -> list[str]:
    try:
        with open(path, errors="replace") as file:
            return file.readlines()
    except OSError:
        return []
