"""`sampan proxy render`: print what the proxy of a node would program for objects in a file."""

from __future__ import annotations

import argparse
import sys
from typing import NoReturn

from sampan.api.meta import Json


def run(argv: list[str]) -> int:
    """The exit status: 2 for bad usage or objects that cannot be read."""
    args = _arguments().parse_args(argv)
    from sampan.cluster.parts.proxy_render import rendered
    from sampan.proxy.config import BadConfig, configuration
    from sampan.proxy.offline import planned

    try:
        files = [*args.filename, *args.files]
        if not files:
            raise BadConfig("no objects; name a file with -f, or - for standard input")
        objects = [obj for path in files for obj in _documents(path)]
        given = _documents(args.config)[:1] if args.config else []
        flags: Json = {"mode": args.mode}
        if args.cluster_cidr:
            flags["clusterCIDR"] = args.cluster_cidr
        config = configuration(*given, flags)
        plan = planned(objects, config, args.node)
        print(rendered(config["mode"], plan, args.family), end="")
    except (BadConfig, OSError, KeyError, TypeError) as error:
        print(f"sampan proxy render: {_line(error)}", file=sys.stderr)
        return 2
    return 0


def _line(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, KeyError):
        return f"an object lacks the field {error}"
    return str(error)


class _OneLine(argparse.ArgumentParser):
    """Says what is wrong without the whole usage before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see '{self.prog} --help'\n")


def _arguments() -> argparse.ArgumentParser:
    parser = _OneLine(
        prog="sampan proxy render",
        description="Print what the proxy of a node would program; nothing is changed.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("files", nargs="*", metavar="FILE", help="objects in YAML; - is stdin")
    parser.add_argument(
        "-f", "--filename", action="append", default=[], metavar="FILE", help="the same"
    )
    parser.add_argument("--mode", default="nftables", help="nftables, iptables, ipvs, ebpf")
    parser.add_argument("--node", default="", help="the node's name; the first Node otherwise")
    parser.add_argument("--config", default="", help="a KubeProxyConfiguration, may be partial")
    parser.add_argument("--cluster-cidr", default="", help="the ranges of all pods, v4,v6")
    parser.add_argument(
        "--family",
        default="",
        choices=("iptables", "ip6tables", "ip", "ip6", ""),
        help="one address family only",
    )
    return parser


def _documents(path: str) -> list[Json]:
    import yaml

    from sampan.proxy.config import BadConfig

    try:
        if path == "-":
            found = list(yaml.safe_load_all(sys.stdin))
        else:
            with open(path, encoding="utf-8") as file:
                found = list(yaml.safe_load_all(file))
    except yaml.YAMLError as error:
        raise BadConfig(f"{path}: {' '.join(str(error).split())}") from error
    bad = [one for one in found if one is not None and not isinstance(one, dict)]
    if bad:
        raise BadConfig(f"{path}: {bad[0]!r} is no object")
    return [one for one in found if one is not None]
