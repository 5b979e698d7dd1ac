"""Latency while endpoints change, and the time from a watch event to the answer that has it."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Sequence

from benchmarks.dns.load import _query, paced

RATE, CHANGES = 2000, 1000
HEADLESS = _query(9, "svc-0.bench.svc.cluster.local.", 1)


def latency(
    port: int, api: subprocess.Popen[str], seconds: float, queries: Sequence[bytes]
) -> tuple[float, float, float]:
    """p50, p99 and the longest, in microseconds."""
    _tell(api, f"churn {CHANGES}")
    time.sleep(0.5)
    found = paced(port, RATE, seconds, list(queries))
    _tell(api, "churn 0")
    time.sleep(0.5)
    return found["p50_us"], found["p99_us"], found["max_us"]


def events(port: int, api: subprocess.Popen[str], count: int) -> tuple[float, float]:
    """Median and p99 of the seconds from an event to the first answer that has it."""
    assert api.stdout is not None
    took = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", port))
        sock.settimeout(1)
        for number in range(count):
            wanted = bytes((10, 255, 0, number % 250 + 1))
            _tell(api, f"set {wanted[3]}")
            written = float(api.stdout.readline())
            while True:
                sock.send(HEADLESS)
                if sock.recv(4096).find(wanted) > 0:
                    break
            took.append(time.monotonic() - written)
            time.sleep(0.005)
    took.sort()
    return took[len(took) // 2], took[int(len(took) * 0.99)]


def _tell(api: subprocess.Popen[str], line: str) -> None:
    assert api.stdin is not None
    api.stdin.write(line + "\n")
    api.stdin.flush()
