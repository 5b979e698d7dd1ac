"""`sampan up`: bring a cluster up and return when it works."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

from sampan.cli.outcome import Exit, guarded
from sampan.cluster.config import EGRESS, PROXY_MODES, BadConfig, ClusterConfig, from_kind

NEXT = """
Try next:
  kubectl get nodes -o wide
  kubectl apply -f examples/01-service/
  curl "$(kubectl get svc serve-svc -o jsonpath={.spec.clusterIP})"
Stop with 'sampan down' (keeps all objects), remove with 'sampan delete'.
"""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser("sampan up", description=__doc__)
    defaults = ClusterConfig()
    made.add_argument("--name", help=f"of the cluster (default {defaults.name})")
    made.add_argument("--nodes", type=int, help=f"how many (default {defaults.nodes})")
    made.add_argument("--config", metavar="FILE", help="a kind.x-k8s.io/v1alpha4 Cluster")
    made.add_argument("--proxy-mode", choices=PROXY_MODES, help="default nftables")
    made.add_argument("--service-cidr", help=f"default {defaults.service_cidr}")
    made.add_argument("--pod-cidr", help=f"default {defaults.pod_cidr}")
    made.add_argument("--node-cidr", help=f"default {defaults.node_cidr}")
    made.add_argument("--api-port", type=int, help=f"default {defaults.api_port}")
    made.add_argument("--egress", choices=EGRESS, help="let pods out through the host (auto)")
    made.add_argument(
        "--node-local-dns", action="store_true", default=None, help="a DNS cache on every node"
    )
    made.add_argument("--kubeconfig", metavar="FILE", help="write there and nowhere else")
    made.add_argument("--wait", default="60s", help="how long to wait (default %(default)s)")
    made.add_argument("-q", "--quiet", action="store_true", help="say nothing unless it fails")
    made.add_argument("-o", "--output", choices=("json",), help="print the milestones as JSON")
    return made


def seconds(text: str) -> float:
    """`60s`, `2m`, `500ms` or plain seconds. Raises BadConfig."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)?", text)
    if not match:
        raise BadConfig(f"--wait {text!r}: use a duration such as 60s or 2m")
    return float(match[1]) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600, None: 1}[match[2]]


def settings(args: argparse.Namespace) -> tuple[ClusterConfig, set[str]]:
    """The configuration, and which of its fields the user gave. Raises BadConfig."""
    given: dict[str, Any] = {}
    if args.config:
        import yaml

        try:
            document = yaml.safe_load(Path(args.config).read_text())
        except (OSError, yaml.YAMLError) as error:
            raise BadConfig(f"--config {args.config}: {error}") from None
        if not isinstance(document, dict):
            raise BadConfig(f"--config {args.config}: not a mapping; it holds `kind: Cluster`")
        given, warnings = from_kind(document)
        for warning in warnings:
            print(f"Warning: {args.config}: {warning}", file=sys.stderr)
    for field in fields(ClusterConfig):
        if (value := getattr(args, field.name, None)) is not None:
            given[field.name] = value
    return ClusterConfig(**given), set(given)


class Progress:
    """Steps with ticks on a terminal, plain lines otherwise; on standard error."""

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet
        self.fancy = sys.stderr.isatty() and "NO_COLOR" not in os.environ

    def __call__(self, text: str, took_s: float) -> None:
        if self.quiet:
            return
        tick = "\033[32m✓\033[0m " if self.fancy else ""
        print(f"{tick}{text} ({took_s:.2f}s)", file=sys.stderr, flush=True)


def run(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    return guarded(lambda: _up(args))


def _up(args: argparse.Namespace) -> int:
    from sampan.client import kubeconfig
    from sampan.cluster import bringup, userconfig
    from sampan.cluster.paths import Paths

    begun = time.monotonic()
    asked, given = settings(args)
    wait_s = seconds(args.wait)
    progress = Progress(quiet=args.quiet or args.output == "json")
    config, milestones = bringup.up(asked, given, wait_s=wait_s, report=progress)
    paths = Paths.of(config.name)
    connection = kubeconfig.load(paths.kubeconfig)
    file = userconfig.add(args.kubeconfig or "", config.context, connection)
    total = time.monotonic() - begun
    if args.output == "json":
        rows = [{"name": m.name, "seconds": round(m.at_s, 3)} for m in milestones]
        told = {"name": config.name, "context": config.context, "kubeconfig": str(file)}
        print(json.dumps({**told, "seconds": round(total, 3), "milestones": rows}))
    elif not args.quiet:
        print(
            f"Cluster {config.name!r} is up in {total:.2f}s: context {config.context!r} in {file}"
        )
        print(NEXT.rstrip() if args.name in (None, "sampan") else "")
    return Exit.OK
