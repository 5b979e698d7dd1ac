"""The `sampan` command: one literal table of commands, each imported only when it is called."""

from __future__ import annotations

import importlib
import sys

COMMANDS: dict[str, str] = {
    "apiserver": "run the API server alone",
    "controllers": "run the controllers alone",
    "scheduler": "run the scheduler alone",
    "kubelet": "run one node's kubelet alone",
    "proxy": "run the Service proxy alone, or render what it would program",
    "dns": "run the cluster DNS alone",
}


def usage() -> str:
    """The overview that `sampan --help` prints."""
    width = max(len(name) for name in COMMANDS)
    rows = "\n".join(f"  {name:<{width}}  {text}" for name, text in COMMANDS.items())
    return f"usage: sampan COMMAND [--help]\n\n{rows}\n"


def main(argv: list[str] | None = None) -> int:
    """Run one command; the exit status is the command's (2 for bad usage)."""
    args = sys.argv[1:] if argv is None else argv
    if not args or args[0] in ("-h", "--help", "help"):
        print(usage(), end="")
        return 0 if args else 2
    if args[0] not in COMMANDS:
        print(f"sampan: unknown command {args[0]!r}; see 'sampan --help'", file=sys.stderr)
        return 2
    module = importlib.import_module("sampan.cli." + args[0].replace("-", "_"))
    code: int = module.run(args[1:])
    return code
