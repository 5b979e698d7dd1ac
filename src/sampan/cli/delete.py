"""`sampan delete`: remove a cluster and everything that belongs to it.

With a resource and a name (`sampan delete pod web`, `sampan delete -f FILE`) it deletes objects, as
kubectl does.
"""

from __future__ import annotations

import argparse

from sampan.cli.outcome import Exit, guarded


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser("sampan delete", description=__doc__)
    made.add_argument("--name", default="sampan", help="of the cluster (default %(default)s)")
    made.add_argument("--kubeconfig", default="", help="where its stanza is taken out")
    made.add_argument("-q", "--quiet", action="store_true", help="say nothing unless it fails")
    return made


def run(argv: list[str]) -> int:
    if any(not word.startswith("-") for word in _words(argv)) or "-f" in argv:
        from sampan.cli import delete_objects

        return delete_objects.run(argv)
    args = parser().parse_args(argv)
    return guarded(lambda: _delete(args))


def _words(argv: list[str]) -> list[str]:
    """The arguments that are no values of `--name` and `--kubeconfig`."""
    skip = {at + 1 for at, word in enumerate(argv) if word in ("--name", "--kubeconfig")}
    return [word for at, word in enumerate(argv) if at not in skip]


def _delete(args: argparse.Namespace) -> int:
    from sampan.cluster import teardown, userconfig
    from sampan.cluster.config import ClusterConfig
    from sampan.cluster.machine import demand_root
    from sampan.cluster.paths import Paths

    demand_root()
    context = ClusterConfig(name=args.name).context
    was_there = teardown.delete(args.name, Paths.of(args.name))
    userconfig.drop(args.kubeconfig, context)
    if not args.quiet:
        print(f"Cluster {args.name!r} " + ("is deleted" if was_there else "did not exist"))
    return Exit.OK
