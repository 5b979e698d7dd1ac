"""The `sampan` command: one literal table of commands, each imported only when it is called."""

from __future__ import annotations

import importlib
import signal
import sys

CLUSTER: dict[str, str] = {
    "up": "bring a cluster up and return when it works",
    "down": "stop a cluster; its objects stay",
    "delete": "remove a cluster and everything of it, or delete objects",
    "status": "is it running, which processes, which nodes",
    "logs": "what Sampan's processes said, or a pod",
    "doctor": "what this machine has and lacks, and how to get it",
}
OBJECTS: dict[str, str] = {
    "apply": "server-side apply of manifests",
    "get": "objects as tables, YAML or JSON",
    "describe": "an object in full, with its events",
    "exec": "run a command in a pod",
}
PARTS: dict[str, str] = {
    "apiserver": "run the API server alone",
    "controllers": "run the controllers alone",
    "scheduler": "run the scheduler alone",
    "kubelet": "run one node's kubelet alone",
    "proxy": "run the Service proxy alone, or render what it would program",
    "dns": "run the cluster DNS alone",
    "node-cache": "run a node's DNS cache (NodeLocal DNSCache)",
}
MORE: dict[str, str] = {
    "image": "load container images from files, list and remove them",
    "serve-hostname": "a server that answers with its own name",
    "completion": "print a completion script for bash, zsh or fish",
    "supervise": "run a cluster's supervisor in the foreground",
    "version": "print the version",
}
SECTIONS = {"Cluster": CLUSTER, "Objects": OBJECTS, "Parts": PARTS, "More": MORE}
COMMANDS = CLUSTER | OBJECTS | PARTS | MORE


def usage() -> str:
    """The overview that `sampan --help` prints."""
    width = max(map(len, COMMANDS))
    parts = ["usage: sampan COMMAND [--help]"]
    for title, commands in SECTIONS.items():
        rows = "\n".join(f"  {name:<{width}}  {text}" for name, text in commands.items())
        parts.append(f"{title}\n{rows}")
    return "\n\n".join(parts) + "\n"


def main(argv: list[str] | None = None) -> int:
    """Run one command; the exit status is the command's (2 for bad usage)."""
    args = sys.argv[1:] if argv is None else argv
    if not args or args[0] in ("-h", "--help", "help"):
        print(usage(), end="")
        return 0 if args else 2
    if args[0] not in COMMANDS:
        print(f"sampan: unknown command {args[0]!r}; see 'sampan --help'", file=sys.stderr)
        return 2
    if args[0] in PARTS:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback before there is a loop
    module = importlib.import_module("sampan.cli." + args[0].replace("-", "_"))
    code: int = module.run(args[1:])
    return code
