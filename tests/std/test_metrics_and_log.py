from __future__ import annotations

import io

import pytest

from sampan.std import log
from sampan.std.backoff import Backoff
from sampan.std.metrics import Registry


def test_the_page_is_prometheus_text() -> None:
    registry = Registry()
    asked = registry.counter("asked_total", "Questions.", ("verb",))
    asked.labels("get").inc()
    asked.labels('we"ird\n').inc(2.5)
    registry.gauge("up", "Whether it is up.").set(1)
    took = registry.histogram("took_seconds", "Time.", buckets=(0.1, 1))
    for value in (0.05, 0.1, 0.5, 7):
        took.observe(value)
    assert registry.render() == (
        "# HELP asked_total Questions.\n# TYPE asked_total counter\n"
        'asked_total{verb="get"} 1\nasked_total{verb="we\\"ird\\n"} 2.5\n'
        "# HELP up Whether it is up.\n# TYPE up gauge\nup 1\n"
        "# HELP took_seconds Time.\n# TYPE took_seconds histogram\n"
        'took_seconds_bucket{le="0.1"} 2\ntook_seconds_bucket{le="1"} 3\n'
        'took_seconds_bucket{le="+Inf"} 4\ntook_seconds_sum 7.65\ntook_seconds_count 4\n'
    )


def test_a_name_is_registered_once_and_labels_must_fit() -> None:
    registry = Registry()
    family = registry.counter("a", "x", ("b",))
    with pytest.raises(ValueError, match="already"):
        registry.gauge("a", "x")
    with pytest.raises(ValueError, match="takes the labels"):
        family.labels("1", "2")


def test_process_figures_are_there() -> None:
    registry = Registry()
    registry.process()
    assert "process_resident_memory_bytes " in registry.render()


def test_a_log_line_is_one_line_with_its_fields() -> None:
    stream = io.StringIO()
    log.setup("info", stream)
    try:
        logger = log.get("tester")
        logger.info("moved", key="a/b", why="two words", lines="1\n2")
        logger.debug("not shown")
        logger.error("failed", exc=ValueError("x"))
    finally:
        log.setup("warning")
    first, second = stream.getvalue().splitlines()
    assert first.endswith('Z info tester: moved key=a/b why="two words" lines="1\\n2"')
    assert second.endswith('error tester: failed error="ValueError: x"')


def test_a_backoff_grows_to_its_ceiling() -> None:
    backoff = Backoff(first_s=1, factor=2, cap_s=10, jitter=0.5)
    assert [backoff.delay(n) for n in range(5)] == [1, 2, 4, 8, 10]
    assert backoff.delay(10_000) == 10
    assert backoff.delay(0, lambda: 0.5) == 1.25
