"""What may change in a ControllerRevision."""

from __future__ import annotations

from sampan.resources.apps.controllerrevision import validate

OWNER = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "u", "controller": True}
KEPT = {
    "metadata": {"name": "d-1", "ownerReferences": [OWNER]},
    "data": {"spec": {}},
    "revision": 1,
}


def test_its_controller_renumbers_a_revision_that_is_used_again() -> None:
    assert not validate({**KEPT, "revision": 3}, KEPT, "")


def test_what_it_keeps_never_changes() -> None:
    (error,) = validate({**KEPT, "data": {"spec": {"a": 1}}}, KEPT, "")
    assert "data" in str(error)
