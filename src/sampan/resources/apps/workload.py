"""What the workload kinds share: selector and template rules, counters of status, wide columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sampan.api import kinds, names
from sampan.api.meta import Json, ResourceId
from sampan.api.resource import Column, Subresource
from sampan.resources import cells, labels, rules
from sampan.resources.core.pod import template as pods
from sampan.resources.rules import Errors

SCALE = Subresource("scale", kinds.SCALES)


def status_of(rid: ResourceId) -> Subresource:
    return Subresource("status", rid)


def selector(path: str, value: Json | None, kind: str) -> Errors:
    """A selector that must be there and not empty."""
    if value is None:
        return rules.required(path)
    errors = rules.label_selector(path, value)
    if rules.is_empty_selector(value):
        errors += rules.invalid(path, value, f"empty selector is invalid for {kind}")
    return errors


def selects_template(
    path: str, wanted: Json | None, template: Json, broken: str | None = "invalid label selector"
) -> Errors:
    """The labels of the template must be selected; an empty selector was complained of before.

    `broken` is what upstream says once more of a selector that cannot be one; None: nothing.
    """
    of_template = template.get("metadata", {}).get("labels") or {}
    if wanted and rules.is_empty_selector(wanted):
        return []
    if wanted and rules.label_selector("", wanted):
        return [] if broken is None else rules.invalid("spec.selector", wanted, broken)
    if labels.matches(wanted, of_template):
        return []
    says = "`selector` does not match template `labels`"
    return rules.invalid(f"{path}.metadata.labels", rules.ordered(of_template) or None, says)


def selects(wanted: Json | None) -> bool:
    """Whether it is a selector at all; the template of one that is not is not looked at."""
    return not wanted or not rules.label_selector("", wanted)


def template(path: str, new: Json, old: Json | None, owner: str) -> Errors:
    """A pod template whose pods run for ever."""
    errors = pods.validate_template(new, path, old)
    return errors + runs_always(path, new, owner)


def runs_always(path: str, new: Json, owner: str) -> Errors:
    spec = new.get("spec", {})
    errors: Errors = []
    policy = spec.get("restartPolicy", "")
    if policy != "Always":
        errors += rules.not_supported(f"{path}.spec.restartPolicy", policy, ["Always"])
    if spec.get("activeDeadlineSeconds") is not None:
        detail = f"activeDeadlineSeconds in {owner} is not Supported"
        errors += rules.forbidden(f"{path}.spec.activeDeadlineSeconds", detail)
    return errors


def counters(status: Json, fields: Sequence[str], extra: Sequence[str] = ()) -> Errors:
    """Counters of status are not negative, and none exceeds `replicas`; `extra` are only the
    former.
    """
    errors = rules.all_nonnegative("status", status, ("replicas", *fields, *extra))
    return errors + rules.at_most("status", status, fields, "replicas", "status.replicas")


def name_warnings(new: Json, old: Json | None) -> list[str]:
    """A name that pods take over should be fit for a host name."""
    if old is not None:
        return []
    complaints = names.dns1123_label(new["metadata"].get("name", ""))
    if not complaints:
        return []
    return [
        "metadata.name: this is used in Pod names and hostnames, which can result in surprising "
        f"behavior; a DNS label is recommended: [{' '.join(complaints)}]"
    ]


def template_warnings(new: Json, old: Json | None) -> list[str]:
    template, before = new["spec"].get("template") or {}, old and old["spec"].get("template")
    return pods.template_warnings(template, "spec.template", before)


def warnings(new: Json, old: Json | None) -> list[str]:
    return name_warnings(new, old) + template_warnings(new, old)


def pod_spec(obj: Json) -> Json:
    found: Json = obj["spec"].get("template", {}).get("spec", {})
    return found


CONTAINERS = cells.column("Containers", lambda obj: cells.pod_containers(pod_spec(obj)), priority=1)
IMAGES = cells.column("Images", lambda obj: cells.pod_images(pod_spec(obj)), priority=1)
SELECTOR = cells.column(
    "Selector", lambda obj: labels.text(obj["spec"].get("selector")), priority=1
)


def number(title: str, part: str, field: str, type: str = "integer") -> Column:
    """A column with a counter, 0 where it is not set."""
    cell: Callable[[Json], int] = cells.field(part, field, default=0)
    return cells.column(title, cell, type=type)
