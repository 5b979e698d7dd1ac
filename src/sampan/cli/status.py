"""`sampan status`: is it running, which processes, which nodes."""

from __future__ import annotations

import argparse
import asyncio
import json
from typing import Any

from sampan.cli.outcome import Exit, guarded


def run(argv: list[str]) -> int:
    parser = argparse.ArgumentParser("sampan status", description=__doc__)
    parser.add_argument("--name", default="sampan", help="of the cluster (default %(default)s)")
    parser.add_argument("--kubeconfig", default="", help="where its context is")
    parser.add_argument("-o", "--output", choices=("json",), help="as JSON")
    args = parser.parse_args(argv)
    return guarded(lambda: _status(args))


def _status(args: argparse.Namespace) -> int:
    from sampan.cluster import status

    found = asyncio.run(status.look(args.name, args.kubeconfig))
    if args.output == "json":
        print(json.dumps(found, indent=2))
    else:
        _print(found)
    return Exit.OK if found["state"] != "absent" else Exit.FAILED


def _print(found: dict[str, Any]) -> None:
    print(
        f"{found['name']}: {found['state']}" + (f", {found['server']}" if found["server"] else "")
    )
    if found["remark"]:
        print(found["remark"])
    for node in found["nodes"]:
        print(f"  node {node['name']:<10} {node['status']:<10} {node['address']}")
    for process in found["processes"]:
        print(f"  {process['component']:<14} {process['node'] or '-':<10} pid {process['pid']}")
