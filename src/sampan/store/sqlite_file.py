"""The SQLite file: its lock, its schema, and the statements that read and change it.

    live   the newest version of every key that exists
    past   versions that ended, numbered so that they lie in the order of their end;
           compaction takes them away from the front
    meta   revision, compacted

A version moves from live to past when it is overwritten or deleted, so a key's first write costs
one row and nothing is kept twice.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from sampan.store.base import Change, Compare, Delete, Put, StoreBusy, StoreFailed
from sampan.store.history import Version, end_of

FORMAT = 1
PER_REVISION = 1 << 20
"""Room for the rows of one transaction in the numbering of `past`."""

_SCHEMA = """
CREATE TABLE live (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE,
    created INTEGER NOT NULL, modified INTEGER NOT NULL, value BLOB NOT NULL);
CREATE TABLE past (id INTEGER PRIMARY KEY, key TEXT NOT NULL, created INTEGER NOT NULL,
    modified INTEGER NOT NULL, deleted INTEGER NOT NULL, value BLOB NOT NULL);
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
INSERT INTO meta VALUES ('revision', 1), ('compacted', 0);
"""
_FIND = "SELECT id, created, modified, value FROM live WHERE key = ?"
_MODIFIED = "SELECT modified FROM live WHERE key = ?"
_INSERT = "INSERT INTO live (key, created, modified, value) VALUES (?, ?, ?, ?)"
_UPDATE = "UPDATE live SET modified = ?, value = ? WHERE id = ?"
_DELETE = "DELETE FROM live WHERE id = ?"
_END = "INSERT INTO past (id, key, created, modified, deleted, value) VALUES (?, ?, ?, ?, ?, ?)"
_PAST = "SELECT key, value, created, modified, id, deleted FROM past WHERE id >= ?"


class Lock:
    """One process per file; the kernel lets go when the process is gone, however it went."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(self._file, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._file)
            raise StoreBusy(f"{path} is in use by process {pid}") from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        os.close(self._file)


def connect(path: Path, *, cache_kib: int = 8192) -> sqlite3.Connection:
    """A connection in autocommit mode. Raises StoreFailed."""
    try:
        connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, cached_statements=64
        )
        connection.execute("PRAGMA journal_mode=WAL")
        # FULL: the log is on disk before COMMIT returns. NORMAL would lose writes on power loss.
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA cache_size=-{cache_kib}")
        connection.execute("PRAGMA busy_timeout=10000")
        _prepare(connection)
    except sqlite3.Error as error:
        raise StoreFailed(f"cannot open {path}: {error}") from error
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == 0:
        connection.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version={FORMAT};COMMIT;")
    elif version != FORMAT:
        raise StoreFailed(f"the store has format {version}, this program knows {FORMAT}")


# Reading.


def number(connection: sqlite3.Connection, name: str) -> int:
    row = connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    return int(row[0])


def find(connection: sqlite3.Connection, key: str) -> Version | None:
    row = connection.execute(_FIND, (key,)).fetchone()
    return Version(key, row[3], row[1], row[2]) if row else None


def live(
    connection: sqlite3.Connection, prefix: str, after: str, upto: int, limit: int
) -> list[Version]:
    """The live versions under a prefix, behind a key, no newer than `upto`, in key order."""
    where, values = _range(prefix, after)
    sql = f"SELECT key, value, created, modified FROM live WHERE {where} AND modified <= ? "
    rows = connection.execute(f"{sql} ORDER BY key LIMIT ?", (*values, upto, limit or -1))
    return [Version(*row) for row in rows]


def count_live(connection: sqlite3.Connection, prefix: str, after: str, upto: int | None) -> int:
    """How many live keys lie behind `after`; without `upto` the index alone can tell."""
    where, values = _range(prefix, after)
    if upto is None:
        rows = connection.execute(f"SELECT count(*) FROM live WHERE {where}", values)
    else:
        sql = f"SELECT count(*) FROM live WHERE {where} AND modified <= ?"
        rows = connection.execute(sql, (*values, upto))
    return int(rows.fetchone()[0])


def ended_after(connection: sqlite3.Connection, revision: int) -> Iterator[Version]:
    """The versions that ended after this revision, in that order."""
    for row in connection.execute(_PAST, ((revision + 1) * PER_REVISION,)):
        key, value, created, modified, at, deleted = row
        yield Version(key, value, created, modified, at // PER_REVISION, bool(deleted))


def modified_after(connection: sqlite3.Connection, revision: int) -> Iterator[Version]:
    sql = "SELECT key, value, created, modified FROM live WHERE modified > ?"
    for row in connection.execute(sql, (revision,)):
        yield Version(*row)


def _range(prefix: str, after: str) -> tuple[str, tuple[str, ...]]:
    end = end_of(prefix)
    where, values = ("key > ?", (after,)) if after >= prefix and after else ("key >= ?", (prefix,))
    if end is None:
        return where, values
    return f"{where} AND key < ?", (*values, end)


# Writing; the caller holds the transaction.


def holds(connection: sqlite3.Connection, compare: Compare) -> bool:
    row = connection.execute(_MODIFIED, (compare.key,)).fetchone()
    return (row[0] if row else 0) == compare.modified


def write(
    connection: sqlite3.Connection, writes: Sequence[Put | Delete], revision: int
) -> list[Change]:
    """Do the writes at this revision and tell what changed."""
    changes = []
    for place, item in enumerate(writes):
        row = connection.execute(_FIND, (item.key,)).fetchone()
        if isinstance(item, Put):
            changes.append(_put(connection, item, row, (revision, place)))
        elif row is not None:
            changes.append(_delete(connection, item, row, (revision, place)))
    return changes


def _put(
    connection: sqlite3.Connection, item: Put, row: tuple[int, int, int, bytes] | None,
    at: tuple[int, int],
) -> Change:  # fmt: skip
    revision, place = at
    if row is None:
        connection.execute(_INSERT, (item.key, revision, revision, item.value))
        return Change(item.key, item.value, revision, revision, None, 0)
    identity, created, modified, value = row
    number_in_past = revision * PER_REVISION + place
    connection.execute(_END, (number_in_past, item.key, created, modified, 0, value))
    connection.execute(_UPDATE, (revision, item.value, identity))
    return Change(item.key, item.value, revision, created, value, modified)


def _delete(
    connection: sqlite3.Connection, item: Delete, row: tuple[int, int, int, bytes],
    at: tuple[int, int],
) -> Change:  # fmt: skip
    revision, place = at
    identity, created, modified, value = row
    number_in_past = revision * PER_REVISION + place
    connection.execute(_END, (number_in_past, item.key, created, modified, 1, value))
    connection.execute(_DELETE, (identity,))
    return Change(item.key, None, revision, created, value, modified)


def set_number(connection: sqlite3.Connection, name: str, value: int) -> None:
    connection.execute("UPDATE meta SET value = ? WHERE name = ?", (value, name))


def drop_past(connection: sqlite3.Connection, revision: int, limit: int) -> int:
    """Forget some versions that ended at or before this revision; how many went."""
    sql = "DELETE FROM past WHERE id IN (SELECT id FROM past WHERE id < ? ORDER BY id LIMIT ?)"
    return connection.execute(sql, ((revision + 1) * PER_REVISION, limit)).rowcount
