"""`sampan doctor`: what this machine has and lacks, for every mode, and how to get it."""

from __future__ import annotations

import argparse
import json

from sampan.cli.outcome import Exit


def run(argv: list[str]) -> int:
    parser = argparse.ArgumentParser("sampan doctor", description=__doc__)
    parser.add_argument("-o", "--output", choices=("json",), help="as JSON")
    args = parser.parse_args(argv)
    from sampan.cluster.machine import EVERYTHING, needs

    rows = [(need, need.has()) for need in needs()]
    if args.output == "json":
        listed = [
            {"name": n.name, "has": has, "usedBy": n.used_by, "remedy": "" if has else n.remedy}
            for n, has in rows
        ]
        print(json.dumps({"findings": listed}, indent=2))
    else:
        width = max(len(need.name) for need, _ in rows)
        users = max(len(need.used_by) for need, _ in rows)
        for need, has in rows:
            line = f"{'ok  ' if has else 'lack'}  {need.name:<{width}}  {need.used_by:<{users}}"
            print(line.rstrip() if has else f"{line}  {need.remedy}")
    lacks_basics = any(not has for need, has in rows if need.used_by == EVERYTHING)
    return Exit.MACHINE if lacks_basics else Exit.OK
