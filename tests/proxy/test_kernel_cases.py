"""The case folders on a real kernel: the same packets, in namespaces of their own."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import pytest

from tests.proxy.case_folders import KERNEL_MODES, Case, cases, wanted

pytestmark = pytest.mark.kernel
TIMES = 40
STICKY_TIMES = 8
PATIENCE_S = 0.4
AFFINITY_S = 10800
"""As the API server's default has it."""


@pytest.mark.parametrize("mode", tuple(KERNEL_MODES))
@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_the_kernel_treats_packets_as_the_story_says(
    case: Case, mode: str, lab: ModuleType, load: Callable[[str, str], None]
) -> None:
    load(mode, case.name)
    stay_s = _stay_s(case)
    probes = [probe for probe in case.probes if _for_rules(probe["to"], mode)]
    # A portal gives its turns to all who ask: clients in step might each see one endpoint only.
    with ThreadPoolExecutor(1 if mode == "userspace" else 8) as pool:
        seen = list(pool.map(lambda probe: _probe(lab, probe, stay_s), probes))
    for probe, result in zip(probes, seen, strict=True):
        said = wanted(probe, KERNEL_MODES[mode])
        if mode == "userspace":
            # A process in between cannot keep the client's address.
            result = {**result, "source": said.get("source", "")}
        assert _agrees(result, said, stay_s), (probe, result)


def _for_rules(target: str, mode: str) -> bool:
    """The lab's servers speak TCP and UDP; SCTP is sent on a kernel that has it. At the loopback
    address only iptables' rules serve node ports: what a process does there in other modes has
    tests of its own.
    """
    looped = "127.0.0.1" in target or "[::1]" in target
    return not target.startswith("sctp ") and (mode == "iptables" or not looped)


def _stay_s(case: Case) -> float:
    """How long a client stays with its endpoint in this story; 0 without session affinity."""
    for item in case.objects:
        spec = item.get("spec", {})
        if spec.get("sessionAffinity"):
            config = spec.get("sessionAffinityConfig", {}).get("clientIP", {})
            return float(config.get("timeoutSeconds", AFFINITY_S))
    return 0


def _probe(lab: ModuleType, probe: dict[str, Any], stay_s: float) -> dict[str, Any]:
    answers, sources, failures = set(), set(), []
    strayed = False
    last, before = "", time.monotonic()
    for _ in range(STICKY_TIMES if stay_s else TIMES):
        flow = lab.Flow(probe["from"], probe["to"], timeout=PATIENCE_S)
        begun = time.monotonic()
        try:
            name, source = flow.connect().ask()
            answers.add(name)
            sources.add(source)
            # Who comes back too late, on a busy machine, may be sent elsewhere.
            late = time.monotonic() - before > stay_s * 0.9
            strayed = strayed or (bool(last) and name != last and not late)
            last, before = name, begun
        except (OSError, ValueError) as error:
            failures.append(lab.why(error))
            if len(failures) == 2:
                break
        finally:
            flow.close()
    return {
        "answers": sorted(answers),
        "source": "+".join(sorted(sources)),
        "failed": failures,
        "strayed": strayed,
        "six": "[" in probe["to"],
        "own": probe["from"] == "node",
    }


def _agrees(seen: dict[str, Any], said: dict[str, Any], stay_s: float) -> bool:
    outcome = said.get("outcome")
    if outcome == "passed":
        # Untouched packets end wherever the routes lead: not at an endpoint.
        return not set(seen["answers"]) - {"lb", "n1", "n2"}
    if outcome == "refused":
        # Over IPv6 a client may notice only when it repeats its SYN, after our patience.
        words = {"refused", "timeout"} if seen["six"] else {"refused"}
        return not seen["answers"] and set(seen["failed"]) <= words
    if outcome == "dropped":
        return not seen["answers"] and set(seen["failed"]) == {"timeout"}
    if seen["failed"]:
        return False
    if stay_s:
        return not seen["strayed"] and set(seen["answers"]) <= set(said["answers"])
    # The node's own packets have a node's address, masqueraded or not.
    source = "node" if seen["own"] and seen["source"] == "node" else said["source"]
    return seen["answers"] == said["answers"] and seen["source"] == source
