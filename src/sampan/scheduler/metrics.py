"""The scheduler's figures, under upstream's names."""

from __future__ import annotations

from sampan.scheduler.queue import Queue
from sampan.std.metrics import Registry


class Metrics:
    def __init__(self) -> None:
        registry = self.registry = Registry()
        self._attempts = registry.counter(
            "scheduler_schedule_attempts_total",
            "Tries to find a node, by result.",
            ("profile", "result"),
        )
        self._durations = registry.histogram(
            "scheduler_scheduling_attempt_duration_seconds",
            "How long a decision took.",
            ("profile", "result"),
        )
        self.victims = registry.histogram(
            "scheduler_preemption_victims",
            "How many pods had to go for one.",
            buckets=(1, 2, 4, 8, 16, 32, 64),
        )
        self._pending = registry.gauge(
            "scheduler_pending_pods", "Pods without a node, by queue.", ("queue",)
        )

    def attempt(self, profile: str, result: str, seconds: float) -> None:
        self._attempts.labels(profile, result).inc()
        self._durations.labels(profile, result).observe(seconds)

    def watch(self, queue: Queue) -> None:
        """Read the queue at every scrape."""
        for name in ("active", "backoff", "unschedulable"):
            series = self._pending.labels(name)
            series.read_from(lambda name=name: float(queue.counts()[name]))  # type: ignore[misc]
