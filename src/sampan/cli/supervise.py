"""`sampan supervise`: run a cluster's supervisor in the foreground; `up` does this for you."""

from __future__ import annotations

import argparse

from sampan.cli.outcome import guarded


def run(argv: list[str]) -> int:
    parser = argparse.ArgumentParser("sampan supervise", description=__doc__)
    parser.add_argument("--name", default="sampan", help="of the cluster (default %(default)s)")
    args = parser.parse_args(argv)
    return guarded(lambda: _supervise(args.name))


def _supervise(name: str) -> int:
    from sampan.cluster import allinone
    from sampan.cluster.config import ClusterConfig
    from sampan.cluster.paths import Paths

    paths = Paths.of(name)
    return allinone.supervise(ClusterConfig.load(paths.config), paths)
