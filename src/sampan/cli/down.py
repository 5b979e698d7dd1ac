"""`sampan down`: stop a cluster; its objects stay and `sampan up` brings them back."""

from __future__ import annotations

import argparse

from sampan.cli.outcome import Exit, guarded


def run(argv: list[str]) -> int:
    parser = argparse.ArgumentParser("sampan down", description=__doc__)
    parser.add_argument("--name", default="sampan", help="of the cluster (default %(default)s)")
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing unless it fails")
    args = parser.parse_args(argv)
    return guarded(lambda: _down(args))


def _down(args: argparse.Namespace) -> int:
    from sampan.cluster import teardown
    from sampan.cluster.machine import demand_root
    from sampan.cluster.paths import Paths

    demand_root()
    was_there = teardown.stop(args.name, Paths.of(args.name))
    if not args.quiet:
        print(f"Cluster {args.name!r} is " + ("stopped" if was_there else "not running"))
    return Exit.OK
