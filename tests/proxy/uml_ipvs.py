"""IPVS on a real kernel: runs as the only program of a User-Mode Linux, and prints a line for each
case that differs. Started by test_uml_ipvs.py.
"""

from __future__ import annotations

import asyncio
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sampan.cluster.parts.proxy_kernel import real_kernel
from sampan.proxy.config import configuration
from tests.proxy.case_folders import ROOT, Case, wanted

LAB = Path(__file__).parents[1] / "recorded" / "proxy"
TIMES = 12


def main(names: list[str]) -> None:
    sys.path.insert(0, str(LAB))
    import lab

    with lab.Lab():
        with lab.inside("rp-node"):
            kernel = real_kernel(configuration({"mode": "ipvs"}))
            backend = kernel.backends["ipvs"]()
            _say(f"probe {backend.probe() or 'good'}")
        for name in names:
            try:
                differing = _case(lab, backend, Case(ROOT / name))
            except Exception:  # noqa: BLE001 - told to the test, which fails with it
                differing = [" | ".join(traceback.format_exc().splitlines()[-3:])]
            _say(f"{'FAIL' if differing else 'PASS'} {name} {' ; '.join(differing)}")
        wrong = _unnoticed(lab, backend, Case(ROOT / names[0]))
        _say(f"{'FAIL' if wrong else 'PASS'} noticing {wrong}")
        with lab.inside("rp-node"):
            asyncio.run(backend.cleanup())
            left = backend._ipvs.servers() or backend._ipvs.addresses("kube-ipvs0")
            _say(f"{'FAIL' if left else 'PASS'} cleanup {left or ''}")


def _case(lab, backend, case: Case) -> list[str]:  # type: ignore[no-untyped-def]
    plan = case.planned("ipvs")
    with lab.inside("rp-node"):
        backend.configure(plan.settings)
        asyncio.run(backend.resync(plan.model))
        before = backend._ipvs.servers()
        asyncio.run(backend.resync(plan.model))
        if backend._ipvs.servers() != before:
            return ["a second look changed something"]
    found = []
    sticky = any(item.get("spec", {}).get("sessionAffinity") for item in case.objects)
    # All clients of a server share its turns: in step, each might meet some endpoints only. Those
    # that nobody answers may wait together.
    answered = [one for one in case.probes if "answers" in wanted(one, "ipvs")]
    others = [one for one in case.probes if one not in answered]

    def ask(one: dict[str, Any]) -> Any:
        return lab.probe(one["from"], one["to"], TIMES)

    with ThreadPoolExecutor(8) as pool:
        results = [*map(ask, answered), *pool.map(ask, others)]
    for probe, seen in zip([*answered, *others], results, strict=True):
        said = wanted(probe, "ipvs")
        if probe["from"] == "node" and "source" in seen:
            # The node's own packets to an address that it holds come from that address.
            seen["source"] = said.get("source", "")
        if sticky and len(seen.get("answers", ())) == 1:
            seen["answers"] = said["answers"] if seen["answers"][0] in said["answers"] else []
        if not _agrees(seen, said):
            found.append(f"{probe['from']} {probe['to']}: said {said}, seen {seen}")
    return found


def _unnoticed(lab, backend, case: Case) -> str:  # type: ignore[no-untyped-def]
    """What somebody else does is noticed and repaired; what nobody did is not."""
    plan = case.planned("ipvs")
    with lab.inside("rp-node"):
        backend.configure(plan.settings)
        asyncio.run(backend.resync(plan.model))
        for command in ("ip link del kube-ipvs0", "ipset flush", "iptables -t nat -F", "servers"):
            if backend._sweep():
                return f"something else than ours before {command}"
            if command == "servers":
                backend._ipvs.remove(list(backend._ipvs.servers()))
            else:
                lab.sh(command)
            if not backend._sweep():
                return f"{command} was not noticed"
            asyncio.run(backend.resync(plan.model))
        return "something else than ours at the end" if backend._sweep() else ""


def _agrees(seen: dict, said: dict) -> bool:  # type: ignore[type-arg]
    outcome = said.get("outcome")
    if outcome == "refused":
        return seen.get("outcome") == "refused"
    if outcome == "dropped":
        return seen.get("outcome") == "timeout"
    if outcome == "passed":
        return "answers" not in seen
    return (
        seen.get("answers") == said["answers"]
        and not seen.get("failures")
        and seen["source"] in (said["source"], "node" if said["source"] == "client" else "")
    )


def _say(text: str) -> None:
    sys.stdout.write(f"uml: {text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
