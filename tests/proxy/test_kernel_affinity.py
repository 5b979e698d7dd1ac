"""Session affinity in time, on a real kernel and in every mode that it has: shared by cluster IP
and node port, longer with each use, and over when the time is.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import ModuleType

import pytest

from tests.proxy.case_folders import KERNEL_MODES

pytestmark = pytest.mark.kernel
CLUSTER_IP, NODE_PORT = "tcp 10.96.0.1:80", "tcp 192.168.77.1:30080"
STAY_S = 2.0
"""As the story affinity-short says."""
TRIES = 12
"""That a client comes back to one of three endpoints by chance so often: once in 180,000."""


@pytest.mark.parametrize("mode", tuple(KERNEL_MODES))
def test_a_client_stays_while_it_comes_and_is_forgotten_after_the_time(
    mode: str, lab: ModuleType, load: Callable[[str, str], None]
) -> None:
    def asked(target: str) -> str:
        flow = lab.Flow("pod", target)
        try:
            name: str = flow.connect().ask()[0]
            return name
        finally:
            flow.close()

    load(mode, "affinity-short")
    first = asked(CLUSTER_IP)
    begun = time.monotonic()
    stayed = 0.0
    while stayed < 2 * STAY_S:
        # Each use makes it last longer: the pauses together exceed the time.
        time.sleep(STAY_S * 0.55)
        late = time.monotonic() - begun
        if late > STAY_S * 0.95:
            pytest.skip(f"this machine is too busy to come back within {STAY_S} s: {late:.1f} s")
        begun = time.monotonic()
        for target in (NODE_PORT, CLUSTER_IP):
            assert asked(target) == first
        stayed += late
    for _ in range(TRIES):
        time.sleep(STAY_S * 1.2)
        if asked(CLUSTER_IP) != first:
            return
    pytest.fail(f"the client was still at {first} after {TRIES} pauses")
