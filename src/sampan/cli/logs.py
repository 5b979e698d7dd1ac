"""`sampan logs`: what Sampan's own processes said, or, with a pod's name, what that pod said."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TextIO

from sampan.cli.outcome import Exit, failed, guarded

PAUSE_S = 0.1


def run(argv: list[str]) -> int:
    parser = argparse.ArgumentParser("sampan logs", description=__doc__)
    parser.add_argument("component", nargs="?", default="", help="a component, or a pod's name")
    parser.add_argument("--name", default="sampan", help="of the cluster (default %(default)s)")
    parser.add_argument("-f", "--follow", action="store_true", help="go on as more is written")
    parser.add_argument("-n", "--namespace", default="", help="of the pod")
    parser.add_argument("-c", "--container", default="", help="of the pod")
    parser.add_argument("--kubeconfig", default="", help="where the context is")
    args = parser.parse_args(argv)
    return guarded(lambda: _logs(args))


def _logs(args: argparse.Namespace) -> int:
    from sampan.cluster.paths import Paths

    folder = Paths.of(args.name).logs
    files = sorted(folder.glob("*.log")) if folder.is_dir() else []
    wanted = [f for f in files if not args.component or _belongs(f, args.component)]
    if args.component and not wanted:
        from sampan.cli import logs_of_pod

        return logs_of_pod.run(args)
    if not wanted:
        return failed(Exit.FAILED, f"no logs of a cluster {args.name!r} that you may read")
    _print(wanted, follow=args.follow)
    return Exit.OK


def _belongs(file: Path, component: str) -> bool:
    """`agent` means all agents, `agent-node1` one of them."""
    return file.stem == component or file.stem.rpartition("-")[0] == component


def _print(files: list[Path], *, follow: bool) -> None:
    opened: list[tuple[str, TextIO]] = [(file.stem, file.open(errors="replace")) for file in files]
    label = len(opened) > 1
    while True:
        for name, stream in opened:
            for line in stream:
                sys.stdout.write(f"{name}: {line}" if label else line)
        sys.stdout.flush()
        if not follow:
            return
        time.sleep(PAUSE_S)
