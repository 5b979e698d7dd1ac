"""What may be a name: labels, subdomains, qualified names, label values, ports, keys.

Each rule takes the value and returns its complaints, none when it is fine, in upstream's words
(apimachinery's util/validation), so that a file under `resources/` only adds the field's path.
"""

from __future__ import annotations

import re
from functools import cache

LABEL_MAX = 63
SUBDOMAIN_MAX = 253

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = _LABEL + r"(\." + _LABEL + ")*"
_LABEL_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_UNDERSCORED = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SUBDOMAIN_UNDERSCORED = _UNDERSCORED + r"(\." + _UNDERSCORED + ")*"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE = "(" + _QUALIFIED + ")?"
_WILDCARD = r"\*\." + _SUBDOMAIN
_CONFIG_KEY = "[-._a-zA-Z0-9]+"
_HEADER = "[-A-Za-z0-9]+"
_C_IDENTIFIER = "[A-Za-z_][A-Za-z0-9_]*"
_PERCENT = "[0-9]+%"

_LABEL_SAYS = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
    "and must start and end with an alphanumeric character"
)
_SUBDOMAIN_SAYS = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, "
    "'-' or '.', and must start and end with an alphanumeric character"
)
_LABEL_1035_SAYS = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', "
    "start with an alphabetic character, and end with an alphanumeric character"
)
_UNDERSCORED_SAYS = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, "
    "'_', '-' or '.', and must start and end with an alphanumeric character"
)
_WILDCARD_SAYS = (
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, "
    "which must consist of lower case alphanumeric characters, '-' or '.' and end with an "
    "alphanumeric character"
)
_QUALIFIED_SAYS = (
    "must consist of alphanumeric characters, '-', '_' or '.', "
    "and must start and end with an alphanumeric character"
)
_LABEL_VALUE_SAYS = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "
    "'.', and must start and end with an alphanumeric character"
)
_ENV_SAYS = (
    "a valid environment variable name must consist only of printable ASCII characters "
    "other than '='"
)
_CONFIG_KEY_SAYS = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
_PERCENT_SAYS = "a valid percent string must be a numeric string followed by an ending '%'"
_C_IDENTIFIER_SAYS = (
    "a valid C identifier must start with alphabetic character or '_', followed by a string of "
    "alphanumeric characters or '_'"
)


def dns1123_label(value: str) -> list[str]:
    errors = _length(value, LABEL_MAX)
    if not _whole(_LABEL, value):
        if _whole(_SUBDOMAIN, value):
            errors.append("must not contain dots")
        else:
            errors.append(_says(_LABEL_SAYS, _LABEL, "my-name", "123-abc"))
    return errors


def dns1123_subdomain(value: str) -> list[str]:
    return _rule(value, SUBDOMAIN_MAX, _SUBDOMAIN, _SUBDOMAIN_SAYS, "example.com")


def dns1123_subdomain_with_underscore(value: str) -> list[str]:
    return _rule(value, SUBDOMAIN_MAX, _SUBDOMAIN_UNDERSCORED, _UNDERSCORED_SAYS, "example.com")


def dns1035_label(value: str) -> list[str]:
    return _rule(value, LABEL_MAX, _LABEL_1035, _LABEL_1035_SAYS, "my-name", "abc-123")


def wildcard_subdomain(value: str) -> list[str]:
    """`*.example.com`, as hosts of an Ingress may be."""
    return _rule(value, SUBDOMAIN_MAX, _WILDCARD, _WILDCARD_SAYS, "*.example.com")


def fully_qualified_name(value: str) -> list[str]:
    """A subdomain of at least two labels, e.g. a finalizer's domain; a final dot is fine."""
    if not value:
        return ["Required value"]
    bare = value.removesuffix(".")
    errors = dns1123_subdomain(bare)
    if errors:
        return errors
    return (
        [] if "." in bare else ["should be a domain with at least two segments separated by dots"]
    )


def qualified_name(value: str) -> list[str]:
    """`example.com/my-name`: keys of labels and annotations, resource names, taint keys."""
    parts = value.split("/")
    if len(value) <= LABEL_MAX and _whole(_QUALIFIED, value):
        return []  # nearly always
    says = _says(_QUALIFIED_SAYS, _QUALIFIED, "MyName", "my.name", "123-abc")
    errors: list[str] = []
    if len(parts) > 2:
        return [
            f"a valid label key {says} with an optional DNS subdomain prefix and '/' "
            "(e.g. 'example.com/MyName')"
        ]
    if len(parts) == 2:
        prefix = parts[0]
        if not prefix:
            errors.append("prefix part must be non-empty")
        else:
            errors += [f"prefix part {text}" for text in dns1123_subdomain(prefix)]
    name = parts[-1]
    if not name:
        errors.append("name part must be non-empty")
    errors += [f"name part {text}" for text in _length(name, LABEL_MAX, "bytes")]
    if not _whole(_QUALIFIED, name):
        errors.append(f"name part {says}")
    return errors


def label_value(value: str) -> list[str]:
    errors = _length(value, LABEL_MAX, "bytes")
    if not _whole(_LABEL_VALUE, value):
        errors.append(_says(_LABEL_VALUE_SAYS, _LABEL_VALUE, "MyValue", "my_value", "12345"))
    return errors


def path_segment(value: str) -> list[str]:
    """Names that need only fit into a URL: RBAC kinds and the like."""
    if value in (".", ".."):
        return [f"may not be '{value}'"]
    return path_segment_prefix(value)


def path_segment_prefix(value: str) -> list[str]:
    return [f"may not contain '{char}'" for char in "/%" if char in value]


def port_name(value: str) -> list[str]:
    """An IANA service name: container ports and what refers to them."""
    errors = _length(value, 15)
    if not _whole("[-a-z0-9]*", value):
        errors.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", value):
        errors.append("must contain at least one letter (a-z)")
    if "--" in value:
        errors.append("must not contain consecutive hyphens")
    if value.startswith("-") or value.endswith("-"):
        errors.append("must not begin or end with a hyphen")
    return errors


def port_number(value: int) -> list[str]:
    return in_range(value, 1, 65535)


def in_range(value: int, low: int, high: int) -> list[str]:
    return [] if low <= value <= high else [f"must be between {low} and {high}, inclusive"]


def config_key(value: str) -> list[str]:
    """A key of a ConfigMap or Secret: it becomes a file's name."""
    errors = _length(value, SUBDOMAIN_MAX)
    if not _whole(_CONFIG_KEY, value):
        errors.append(_says(_CONFIG_KEY_SAYS, _CONFIG_KEY, "key.name", "KEY_NAME", "key-name"))
    elif value in (".", ".."):
        errors.append(f"must not be '{value}'")
    elif value.startswith(".."):
        errors.append("must not start with '..'")
    return errors


def env_name(value: str) -> list[str]:
    if value and all(" " <= char <= "~" and char != "=" for char in value):
        return []
    return [_ENV_SAYS]


def c_identifier(value: str) -> list[str]:
    if _whole(_C_IDENTIFIER, value):
        return []
    return [_says(_C_IDENTIFIER_SAYS, _C_IDENTIFIER, "my_name", "MY_NAME", "MyName")]


def header_name(value: str) -> list[str]:
    if _whole(_HEADER, value):
        return []
    says = "a valid HTTP header must consist of alphanumeric characters or '-'"
    return [_says(says, _HEADER, "X-Header-Name")]


def percent(value: str) -> list[str]:
    if _whole(_PERCENT, value):
        return []
    return [_says(_PERCENT_SAYS, _PERCENT, "1%", "93%")]


def name_is_subdomain(name: str, prefix: bool) -> list[str]:
    """The common rule for metadata.name; a generateName prefix may end with a hyphen."""
    return dns1123_subdomain(_mask_hyphen(name) if prefix else name)


def long_name(name: str, prefix: bool) -> list[str]:
    """A subdomain; kinds whose upstream rule is declared do not look at what is to be generated."""
    return [] if prefix else name_is_subdomain(name, prefix)


def name_is_label(name: str, prefix: bool) -> list[str]:
    return dns1123_label(_mask_hyphen(name) if prefix else name)


def name_is_dns1035_label(name: str, prefix: bool) -> list[str]:
    return dns1035_label(_mask_hyphen(name) if prefix else name)


def name_is_path_segment(name: str, prefix: bool) -> list[str]:
    return path_segment_prefix(name) if prefix else path_segment(name)


def _mask_hyphen(name: str) -> str:
    return name[:-1] + "a" if len(name) > 1 and name.endswith("-") else name


def _rule(value: str, most: int, pattern: str, says: str, *examples: str) -> list[str]:
    """A length and a pattern."""
    errors = _length(value, most)
    if not _whole(pattern, value):
        errors.append(_says(says, pattern, *examples))
    return errors


def _length(value: str, most: int, unit: str = "characters") -> list[str]:
    size = len(value.encode()) if unit == "bytes" else len(value)
    return [f"must be no more than {most} {unit}"] if size > most else []


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _whole(pattern: str, value: str) -> bool:
    return _compiled(pattern).fullmatch(value) is not None


def _says(text: str, pattern: str, *examples: str) -> str:
    """Upstream's sentence, odd commas included."""
    shown = " or ".join(f"'{example}', " for example in examples)
    return f"{text} (e.g. {shown}regex used for validation is '{pattern}')"
