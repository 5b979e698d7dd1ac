"""How metrics are named."""

from __future__ import annotations

from sampan.controllers.autoscaling_metrics import proposed

CPU = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}


def test_metrics_are_named_as_upstream_names_them() -> None:
    assert proposed({"type": "Resource", "resource": CPU}) == (
        "cpu resource utilization (percentage of request)"
    )
    value = {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Mi"}}
    assert proposed({"type": "Resource", "resource": value}) == "memory resource"
    inside = {**CPU, "container": "c"}
    assert proposed({"type": "ContainerResource", "containerResource": inside}) == (
        "cpu container resource utilization (percentage of request)"
    )
