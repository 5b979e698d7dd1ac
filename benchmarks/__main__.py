"""`python -m benchmarks [NAME] [...]`: one benchmark, or all of them in turn."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path


def names() -> list[str]:
    """Modules and packages of this folder."""
    here = Path(__file__).parent
    files = [p.stem for p in here.glob("*.py") if not p.stem.startswith("_")]
    folders = [p.parent.name for p in here.glob("*/run.py")]
    return sorted({*files, *folders})


def main(argv: list[str]) -> int:
    wanted = [argv[0]] if argv else names()
    for name in wanted:
        if name not in names():
            print(f"no benchmark {name!r}; there are {', '.join(names())}", file=sys.stderr)
            return 2
        print(f"\n## {name}\n")
        module = importlib.import_module(f"benchmarks.{name}")
        if not hasattr(module, "main"):
            module = importlib.import_module(f"benchmarks.{name}.run")
        module.main(argv[1:])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
