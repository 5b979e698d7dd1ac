"""Names, against what upstream said about them."""

from __future__ import annotations

from sampan.api import names


def test_a_good_label_has_no_complaints() -> None:
    assert names.dns1123_label("web-1") == []


def test_a_dotted_label_is_told_about_its_dots() -> None:
    assert names.dns1123_label("a.b") == ["must not contain dots"]


def test_a_bad_subdomain_is_answered_with_the_rule_an_example_and_the_regex() -> None:
    assert names.dns1123_subdomain("Bad_Name") == [
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' "
        "or '.', and must start and end with an alphanumeric character (e.g. 'example.com', "
        "regex used for validation is "
        r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
    ]


def test_lengths_of_names_count_characters_and_those_of_labels_bytes() -> None:
    assert names.dns1035_label("a" * 64) == ["must be no more than 63 characters"]
    assert names.label_value("a" * 64) == ["must be no more than 63 bytes"]


def test_a_qualified_name_has_at_most_one_slash() -> None:
    (text,) = names.qualified_name("a/b/c")
    assert text.startswith("a valid label key must consist of")
    assert text.endswith("optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')")
    assert names.qualified_name("/b") == ["prefix part must be non-empty"]
    assert names.qualified_name("example.com/b") == []


def test_a_newline_at_the_end_is_not_overlooked() -> None:
    assert names.dns1123_label("web\n") != []


def test_a_generate_name_prefix_may_end_with_a_hyphen() -> None:
    assert names.name_is_subdomain("web-", True) == []
    assert names.name_is_subdomain("web-", False) != []


def test_port_names_follow_iana() -> None:
    assert names.port_name("http-alt") == []
    assert names.port_name("80") == ["must contain at least one letter (a-z)"]
    assert names.port_name("-a--b") == [
        "must not contain consecutive hyphens",
        "must not begin or end with a hyphen",
    ]


def test_config_keys_may_not_climb_out_of_their_folder() -> None:
    assert names.config_key("..") == ["must not be '..'"]
    assert names.config_key("..data") == ["must not start with '..'"]
    assert names.config_key(".hidden") == []
