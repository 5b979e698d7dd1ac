"""Static tokens: a CSV file of `token,user,uid[,"group1,group2"]`, read once at start."""

from __future__ import annotations

import csv
import hashlib
import io

from sampan.apiserver.authn.user import User, known


class StaticTokens:
    """Looked up by digest, so that the time of an answer says nothing about a token."""

    def __init__(self, text: str = "") -> None:
        self._users: dict[bytes, User] = {}
        for number, row in enumerate(csv.reader(io.StringIO(text), skipinitialspace=True), 1):
            if not row or row[0].startswith("#"):
                continue
            if len(row) < 3:
                raise ValueError(f"line {number}: expected at least token, user name and user uid")
            if not row[0]:
                raise ValueError(f"line {number}: the token is empty")
            groups = tuple(g.strip() for g in row[3].split(",")) if len(row) > 3 and row[3] else ()
            self.add(row[0], User(row[1], row[2], groups))

    def add(self, token: str, user: User) -> None:
        self._users[_digest(token)] = known(user)

    def user(self, token: str) -> User | None:
        return self._users.get(_digest(token))


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
