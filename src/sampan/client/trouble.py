"""What goes wrong between a client and its server, told once and with the next step; not by every
list and watch that meets the same closed door.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from sampan.api.errors import Forbidden, Unauthorized
from sampan.client.transport import Unreachable

_NO_RIGHT = re.compile(r'User "[^"]*" cannot \w')
REPEAT_S = 60.0
"""A trouble that lasts is told again after this."""


@dataclass(slots=True)
class Trouble:
    """One for each client. `news` says whether to tell, `over` whether there is good news."""

    _told: dict[str, float] = field(default_factory=dict)
    _away: bool = False

    def news(self, error: Exception, now: float) -> bool:
        """Whether this was not told lately."""
        self._away = self._away or isinstance(error, Unreachable | Unauthorized)
        text = told(error)
        if now - self._told.get(text, float("-inf")) < REPEAT_S:
            return False
        # Refusals name objects: what was told long ago must not pile up.
        self._told = {old: at for old, at in self._told.items() if now - at < REPEAT_S}
        self._told[text] = now
        return True

    def over(self) -> bool:
        """Call it when an answer came; whether that is news, since there was none before."""
        away, self._away = self._away, False
        if away:
            self._told.clear()
        return away


def told(error: Exception) -> str:
    """The error in one line, with what to do about it."""
    if isinstance(error, Unauthorized):
        return (
            "the API server does not know these credentials (401 Unauthorized): check the user's "
            "token or client certificate in the kubeconfig"
        )
    if isinstance(error, Forbidden):
        return f"{error}: {_way_out(str(error))}"
    return str(error)


def _way_out(refusal: str) -> str:
    """A refusal by a quota or another admission rule looks like one for want of rights (403
    Forbidden); only the latter names the user and the verb.
    """
    if _NO_RIGHT.search(refusal):
        return "bind a role that allows it to this user, or use another kubeconfig"
    if "exceeded quota:" in refusal:
        return "the namespace's ResourceQuota is used up; raise it, or delete what is not needed"
    if "failed quota:" in refusal:
        return "the namespace's ResourceQuota counts what the object does not state; state it"
    if "violates PodSecurity" in refusal:
        return "the namespace's Pod Security level does not allow it"
    return "an admission rule refused it, not a missing role"
