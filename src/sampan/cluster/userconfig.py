"""The caller's kubeconfig: where it is, also under sudo, and whose it must stay."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from sampan.client import kubeconfig
from sampan.client.kubeconfig import Connection


def home() -> Path:
    """The caller's home folder: under sudo that of the user who called it."""
    user = os.environ.get("SUDO_USER")
    if user and os.geteuid() == 0:
        return Path(pwd.getpwnam(user).pw_dir)
    return Path(os.environ.get("HOME") or pwd.getpwuid(os.geteuid()).pw_dir)


def _environ() -> dict[str, str]:
    return dict(os.environ) | {"HOME": str(home())}


def target(explicit: str) -> Path:
    """The file that the cluster's stanza goes into, by kind's rules."""
    return kubeconfig.path_to_write(explicit, _environ())


def add(explicit: str, context: str, connection: Connection) -> Path:
    """Merge the stanza, make it current; returns the file."""
    path = target(explicit)
    fresh = not path.parent.exists()
    kubeconfig.merge(path, kubeconfig.stanza(context, connection))
    _give(path)
    if fresh:
        _give(path.parent)
    return path


def _give(path: Path) -> None:
    """Under sudo, what lies in the caller's home is the caller's."""
    uid, gid = os.environ.get("SUDO_UID"), os.environ.get("SUDO_GID")
    if uid and gid and os.geteuid() == 0 and path.is_relative_to(home()):
        os.chown(path, int(uid), int(gid))


def drop(explicit: str, context: str) -> list[Path]:
    """Take the stanza out of every file that holds it; returns those files."""
    changed = kubeconfig.remove(kubeconfig.paths(explicit, _environ()), context)
    for path in changed:
        _give(path)
    return changed
