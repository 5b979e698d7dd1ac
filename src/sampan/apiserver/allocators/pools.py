"""What may be taken: addresses of the service ranges and ports, with upstream's two bands.

The lower band of a pool is left to those who ask for a certain one; "any" is looked for in the
upper band first, at random, so that the two rarely meet.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass

Taken = Callable[[int], bool]
Choose = Callable[[int], int]
"""A random number below n."""

RANDOM_TRIES = 64
SCAN_MAX = 1 << 16
"""A range larger than that is never walked to its end."""


@dataclass(frozen=True, slots=True)
class Pool:
    """The numbers from `first` to `last`, whole."""

    first: int
    last: int
    static: int
    """Size of the lower band."""

    def holds(self, number: int) -> bool:
        return self.first <= number <= self.last

    def any_free(self, taken: Taken, choose: Choose) -> int | None:
        """A free number, from the upper band while it has one; None when all are taken."""
        upper = min(self.first + self.static, self.last + 1)
        for low, high in ((upper, self.last), (self.first, upper - 1)):
            found = _free(low, high, taken, choose)
            if found is not None:
                return found
        return None


def _free(low: int, high: int, taken: Taken, choose: Choose) -> int | None:
    size = high - low + 1
    if size <= 0:
        return None
    for _ in range(RANDOM_TRIES):
        number = low + choose(size)
        if not taken(number):
            return number
    start = choose(size)
    for step in range(min(size, SCAN_MAX)):
        number = low + (start + step) % size
        if not taken(number):
            return number
    return None


def address_pool(cidr: str) -> Pool:
    """The usable addresses of a range: not the network's own, not IPv4's broadcast."""
    network = ipaddress.ip_network(cidr)
    first = int(network.network_address)
    last = first + network.num_addresses - 1
    if network.num_addresses > 2:
        first += 1
        last -= network.version == 4
    size = network.num_addresses
    static = 0 if size < 16 else min(max(16, size // 16), 256)
    return Pool(first, last, static)


def port_pool(low: int, high: int) -> Pool:
    size = high - low + 1
    static = 0 if size < 16 else min(max(16, size // 32), 128)
    return Pool(low, high, static)
