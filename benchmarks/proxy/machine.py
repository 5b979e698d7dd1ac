"""IPVS mode where this machine's kernel has no ip_vs: in a User-Mode Linux, as the tests boot it.

    python -m benchmarks.proxy.machine [SERVICES ...]

Its system calls are many times as slow as the machine's own: compare sizes with each other, nothing
with other modes. Root only.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks.proxy.run import Figures, Place, figures_of, table
from tests.proxy import uml

SIZES = (1, 100, 1000, 10000)
LIMIT_S = 900


def one(place: Place) -> Figures | str:
    """The figures of one place; or the last thing that the machine said."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["benchmarks.proxy.one", *(str(part) for part in place)]
        said = uml.boot(Path(folder), command, timeout_s=LIMIT_S).splitlines()
    lines = [line for line in said if line.startswith("{")]
    if not lines:
        return said[-1][:90]
    return figures_of(lines[-1])


def main(argv: list[str]) -> None:
    sizes = [int(word) for word in argv] or [*SIZES]
    why = uml.missing()
    if why:
        raise SystemExit(f"{why} is missing; {uml.REMEDY}")
    found = {}
    for size in sizes:
        figures = one(("ipvs", size, 2))
        found["ipvs", size, 2] = figures if isinstance(figures, str) else [figures]
    print("\n".join(table(found)))


if __name__ == "__main__":
    main(sys.argv[1:])
