"""Which representation an Accept header comes to, in upstream's order of preference."""

from __future__ import annotations

from dataclasses import dataclass

from sampan.api.errors import NotAcceptable

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
PRODUCED = (JSON, YAML, PROTOBUF)
STREAMED = (f"{JSON};stream=watch", f"{PROTOBUF};stream=watch")
_TRANSFORMS = frozenset({"Table", "PartialObjectMetadata", "PartialObjectMetadataList"})
_META_VERSIONS = frozenset({"v1", "v1beta1"})


@dataclass(frozen=True, slots=True)
class Clause:
    """One media range with its parameters."""

    type: str
    params: dict[str, str]
    quality: float


@dataclass(frozen=True, slots=True)
class Wish:
    """The chosen media type and what the object is to be turned into (`""`: nothing)."""

    media_type: str = JSON
    transform: str = ""
    """`Table`, `PartialObjectMetadata` or `PartialObjectMetadataList`."""
    version: str = "v1"
    """Of meta.k8s.io."""
    indent: bool = False


PLAIN = Wish()


def clauses(accept: str) -> list[Clause]:
    """The ranges of an Accept header, most wanted first."""
    found = []
    for part in accept.split(","):
        pieces = [piece.strip() for piece in part.split(";")]
        if not pieces[0]:
            continue
        params = dict(piece.split("=", 1) for piece in pieces[1:] if "=" in piece)
        try:
            quality = float(params.pop("q", "1"))
        except ValueError:
            quality = 1.0
        found.append(Clause(pieces[0].lower(), params, quality))
    return sorted(found, key=lambda clause: -clause.quality)


def choose(
    accept: str, *, streaming: bool = False, listing: bool = False, custom: bool = False
) -> Wish:
    """The first wish that can be met. Raises NotAcceptable, in one of upstream's two wordings.

    Custom objects have no protobuf; their metadata has.
    """
    if not accept or accept in ("*/*", JSON):
        return PLAIN
    ranges = clauses(accept)
    available = (*PRODUCED, *STREAMED) if listing or streaming else PRODUCED
    if not any(clause.type in ("*/*", *PRODUCED) for clause in ranges):
        # The router in front of upstream's negotiation knows no `application/*`.
        raise NotAcceptable(
            "406: Not Acceptable\n\nAvailable representations: " + ", ".join(available),
            details={},
        )
    produced = [JSON, PROTOBUF] if streaming else list(PRODUCED)
    # A client that can read JSON gets JSON: it is what the cacher holds.
    if any(_plain(clause, JSON) for clause in ranges):
        produced = [JSON, *produced[1:]]
    best: Wish | None = None
    for clause in ranges:
        wish = _met(clause, produced, custom=custom)
        if wish is None:
            continue
        if wish.transform or wish.media_type != PROTOBUF:
            return wish
        best = best or wish
    if best is not None:
        return best
    raise not_acceptable(STREAMED if streaming else PRODUCED)


def not_acceptable(accepted: tuple[str, ...] = PRODUCED) -> NotAcceptable:
    return NotAcceptable("only the following media types are accepted: " + ", ".join(accepted))


def _met(clause: Clause, produced: list[str], *, custom: bool) -> Wish | None:
    kind = clause.params.get("as")
    for media in produced:
        if not _range_of(clause.type, media):
            continue
        if kind is None and custom and media == PROTOBUF:
            continue
        if kind is None:
            return Wish(media, indent=clause.params.get("pretty") == "1")
        known = (
            kind in _TRANSFORMS
            and clause.params.get("g") == "meta.k8s.io"
            and clause.params.get("v") in _META_VERSIONS
        )
        if known and (media != PROTOBUF or kind != "Table"):
            return Wish(media, kind, clause.params["v"])
    return None


def _plain(clause: Clause, media: str) -> bool:
    return "as" not in clause.params and _range_of(clause.type, media)


def _range_of(pattern: str, media: str) -> bool:
    if pattern in ("*/*", media):
        return True
    return pattern.endswith("/*") and media.startswith(pattern[:-1])
