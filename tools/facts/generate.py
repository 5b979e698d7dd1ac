"""Turns the tables in this folder into the compact data that the program reads at run time.

    python tools/facts/generate.py            write src/sampan/api/facts/
    python tools/facts/generate.py --check    only say whether it is current (exit status 1 if not)

One JSON file per API package and purpose, read on first use: `shapes/` what JSON objects look
like, `wire/` how protobuf messages are numbered; and the resources and initial objects whole. One
struct stands on one line, so that a change of the tables is a readable change here.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TARGET = HERE.parent.parent / "src" / "sampan" / "api" / "facts"

PREFIXES = (
    "io.k8s.api.",
    "io.k8s.apimachinery.pkg.apis.",
    "io.k8s.apiextensions-apiserver.pkg.apis.",
    "io.k8s.kube-aggregator.pkg.apis.",
    "io.k8s.apimachinery.pkg.",
)
"""Taken off names: `io.k8s.api.core.v1.Pod` becomes `core.v1.Pod`."""

LEAVES = {
    "meta.v1.Time": "time",
    "meta.v1.MicroTime": "microtime",
    "meta.v1.FieldsV1": "any",
    "meta.v1.Patch": "any",
    "runtime.RawExtension": "raw",
    "api.resource.Quantity": "quantity",
    "util.intstr.IntOrString": "int-or-string",
    "apiextensions.v1.JSON": "any",
    "apiextensions.v1.JSONSchemaPropsOrArray": "any",
    "apiextensions.v1.JSONSchemaPropsOrBool": "any",
    "apiextensions.v1.JSONSchemaPropsOrStringArray": "any",
    "apiextensions.v1.CustomResourceSubresourceStatus": "any",
    "string": "string",
    "string:byte": "bytes",
    "string:date-time": "time",
    "boolean": "bool",
    "integer:int32": "int32",
    "integer:int64": "int64",
    "number:double": "double",
    "object": "any",
    "any": "any",
}
"""Types that the program handles by code of their own."""

WIRE_LEAVES = {
    "meta.v1.Time": "time",
    "meta.v1.MicroTime": "microtime",
    "meta.v1.FieldsV1": "json",
    "meta.v1.Verbs": "strings",
    "runtime.RawExtension": "raw",
    "api.resource.Quantity": "quantity",
    "util.intstr.IntOrString": "int-or-string",
    "authentication.v1.ExtraValue": "strings",
    "authorization.v1.ExtraValue": "strings",
    "certificates.v1.ExtraValue": "strings",
    "apiextensions.v1.JSON": "json",
    "apiextensions.v1.JSONSchemaPropsOrArray": "schema-or-array",
    "apiextensions.v1.JSONSchemaPropsOrBool": "schema-or-bool",
    "apiextensions.v1.JSONSchemaPropsOrStringArray": "schema-or-strings",
}
"""Messages whose JSON form is not an object of their fields."""

OMIT = {"-": 0, "omitempty": 1, "omitzero": 2}


def rows(table: str) -> Iterator[list[str]]:
    lines = (HERE / table).read_text().splitlines()
    for line in lines[1:]:
        yield line.split("\t")


def short(name: str) -> str:
    for prefix in PREFIXES:
        if name.startswith(prefix):
            return name[len(prefix) :]
    return name


def shape_type(text: str) -> str:
    """`[io.k8s.api.core.v1.Container]` to `[core.v1.Container]`, scalars to their short names."""
    if text[0] in "[{":
        return text[0] + shape_type(text[1:-1]) + text[-1]
    name = short(text)
    return LEAVES.get(name, name)


def trimmed(row: list[Any]) -> list[Any]:
    while row and row[-1] in (None, "", 0, []):
        row.pop()
    return row


def real_default(text: str, go_type: str) -> list[Any]:
    """The default in a list of its own; the zero value of what is no pointer is none."""
    value = None if text == "-" else json.loads(text)
    return [value] if value or (value is not None and go_type.startswith("*")) else []


def shapes() -> dict[str, dict[str, Any]]:
    """package -> struct -> {"gvk": ..., "fields": {name: [type, go, omit, ...]}}."""
    go = {(r[0], r[1]): (r[2], OMIT[r[3]]) for r in rows("go-types.tsv")}
    atomic = {r[0] for r in rows("atomic-structs.tsv")}
    enums = {(r[0], r[1]): r[2].split(",") for r in rows("enums.tsv")}
    packages: dict[str, dict[str, Any]] = {}
    for schema, name, kind, required, default, listing, patch, gvk in rows("fields.tsv"):
        if name == "-":
            continue
        package, struct = short(schema).rsplit(".", 1)
        entry = packages.setdefault(package, {}).setdefault(struct, {"full": schema, "fields": {}})
        if gvk != "-":
            entry["gvk"] = gvk
        if schema in atomic:
            entry["atomic"] = True
        go_type, omit = go[schema, name]
        entry["fields"][name] = trimmed(
            [
                shape_type(kind),
                go_type,
                omit,
                int(required == "required"),
                real_default(default, go_type),
                "" if listing == "-" else listing,
                "" if patch == "-" else patch,
                enums.get((schema, name), []),
            ]
        )
    return packages


def plain(name: str) -> str:
    """Field names compared without case and signs: `xKubernetesListType`, `aPIGroup`."""
    return name.lower().replace("-", "").replace("$", "")


def schema_of(message: str) -> str:
    """The OpenAPI name, shortened, of a protobuf message."""
    name = message.replace("k8s.io.", "io.k8s.", 1)
    name = name.replace("apiextensions_apiserver", "apiextensions-apiserver")
    return short(name.replace("kube_aggregator", "kube-aggregator"))


def wire_type(text: str, package: str) -> tuple[str, str]:
    """(how often: "", "*" or "{}"; type), with message names made whole."""
    often = ""
    if text.startswith("map<"):
        often, text = "{}", text[len("map<string, ") : -1]
    else:
        label, text = text.split(" ", 1)
        often = "*" if label == "repeated" else ""
    if text.startswith("."):
        text = schema_of(text[1:])
    elif text[0].isupper():
        text = f"{package}.{text}"
    return often, WIRE_LEAVES.get(text, text)


def wire(known: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """package -> message -> number -> [JSON field or "" when inlined, how often, type]."""
    packages: dict[str, dict[str, Any]] = {}
    for message, number, kind, name in rows("protobuf.tsv"):
        package, struct = schema_of(message).rsplit(".", 1)
        shape = known.get(package, {}).get(struct)
        json_name = name
        often, type_name = wire_type(kind, package)
        if shape is not None and name not in shape["fields"]:
            names = {plain(field): field for field in shape["fields"]}
            inlined = "" if "." in type_name else name
            json_name = names.get(plain(name), inlined)
        entry = packages.setdefault(package, {}).setdefault(struct, {})
        entry[number] = trimmed([json_name, often, type_name])
    return packages


def one_per_line(structs: dict[str, Any]) -> str:
    lines = [f"{json.dumps(name)}: {dense(body)}" for name, body in sorted(structs.items())]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def dense(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def resources() -> str:
    table = list(rows("resources.tsv"))
    return "[\n" + ",\n".join(dense(row) for row in table) + "\n]\n"


def initial_objects() -> str:
    paths = json.loads((HERE / "initial-objects.json").read_text())
    blocks = [
        f"{json.dumps(path)}: [\n" + ",\n".join(dense(obj) for obj in objects) + "\n]"
        for path, objects in paths.items()
    ]
    return "{\n" + ",\n".join(blocks) + "\n}\n"


def files() -> dict[str, str]:
    """Everything that is generated: path below the target folder -> text."""
    known = shapes()
    out = {f"shapes/{package}.json": one_per_line(body) for package, body in known.items()}
    out |= {f"wire/{package}.json": one_per_line(body) for package, body in wire(known).items()}
    out["resources.json"] = resources()
    out["initial-objects.json"] = initial_objects()
    return out


def main(argv: list[str]) -> int:
    wanted = files()
    present = {str(path.relative_to(TARGET)): path.read_text() for path in TARGET.rglob("*.json")}
    if "--check" in argv:
        stale = sorted(k for k in wanted.keys() | present.keys() if wanted.get(k) != present.get(k))
        for name in stale:
            print(f"{name} is not what the tables say; run `make facts`", file=sys.stderr)
        return 1 if stale else 0
    for name in present.keys() - wanted.keys():
        (TARGET / name).unlink()
    for name, text in wanted.items():
        path = TARGET / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    print(f"{len(wanted)} files written to {TARGET}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
