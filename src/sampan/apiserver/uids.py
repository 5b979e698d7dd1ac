"""Random uids (version 4), made from randomness that is fetched by the page.

The kernel's random source costs some 40 us a call on some machines, most of it for the call.
"""

from __future__ import annotations

import os

UIDS_A_PAGE = 256


class Uids:
    """`next()` as often as wanted."""

    def __init__(self) -> None:
        self._page: list[str] = []

    def next(self) -> str:
        if not self._page:
            data = os.urandom(16 * UIDS_A_PAGE).hex()
            self._page = [
                f"{h[:8]}-{h[8:12]}-4{h[13:16]}-{'89ab'[int(h[16], 16) & 3]}{h[17:20]}-{h[20:]}"
                for h in (data[at : at + 32] for at in range(0, len(data), 32))
            ]
        return self._page.pop()
