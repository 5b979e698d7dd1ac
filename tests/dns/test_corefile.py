"""The Corefile: the published ones load, every slip is told with file and line, nothing hangs."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sampan.dns.corefile import Block, CorefileError, Sources, parse
from sampan.dns.plugins import PLUGINS
from tests.dns.desk import Desk

EXAMPLES = int(os.environ.get("SAMPAN_EXAMPLES", "200"))

KUBEADM = """.:53 {
    errors
    health {
       lameduck 5s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
       endpoint http://127.0.0.1:1
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    prometheus :9153
    forward . 127.0.0.9 {
       max_concurrent 1000
    }
    cache 30 {
       disable success cluster.local
       disable denial cluster.local
    }
    loop
    reload
    loadbalance
}
"""
K3S = """.:53 {
    errors
    health
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
      endpoint http://127.0.0.1:1
      pods insecure
      fallthrough in-addr.arpa ip6.arpa
    }
    hosts /dev/null {
      ttl 60
      reload 15s
      fallthrough
    }
    prometheus :9153
    forward . 127.0.0.9
    cache 30
    loop
    reload
    loadbalance
    import /no/such/directory/*.override
}
import /no/such/directory/*.server
"""
ARTICLE = """cluster.local{
    errors
    health{
        lameduck 5s
    }
    ready
    kubernetes cluster.local 169.169.0.0/16{
        fallthrough in-addr.arpa ip6.arpa
    }
    prometheus: 9153
    forward    ./etc/resolv.conf
    cache 30
    loop
    reload
    loadbalance
}

. {
    cache 30
    loadbalance
    forward /etc/resolv.conf
}
"""


def blocks(text: str, **environment: str) -> list[Block]:
    return parse(text, "Corefile", Sources(PLUGINS, environment))


def words(block: Block, name: str) -> list[str]:
    return [token.text for token in block.directives[name]]


@pytest.mark.parametrize("text", [KUBEADM, K3S], ids=["kubeadm and kind", "k3s"])
def test_published_corefiles_set_up(text: str) -> None:
    made = Desk(text, (), None)
    assert [str(address) for address in made.instance.groups] == ["dns://:53"]


def test_an_article_s_glued_words_are_understood() -> None:
    block = blocks(ARTICLE)[0]
    assert block.keys == ("cluster.local",)
    assert words(block, "prometheus") == ["prometheus", "9153"]
    assert words(block, "kubernetes")[:4] == ["kubernetes", "cluster.local", "169.169.0.0/16", "{"]
    here = ARTICLE.replace("0/16{", "0/16{\n endpoint http://127.0.0.1:1")
    made = Desk(here, (), None)
    assert [site.zone for site in made.instance.sites] == ["cluster.local.", "."]
    for site in made.instance.sites:
        assert "forward" in site.settings.plugins


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (". {\n forwrad . 1.1.1.1\n}", "Corefile:2 - Error during parsing: Unknown directive"),
        (". {\n errors\n", "Corefile:2 - Syntax error: Unexpected token 'errors', expecting '}'"),
        (
            ". {\n import nope\n}",
            "Corefile:2 - Error during parsing: File to import not found: nope",
        ),
        (". {\n cache {\n  sucess 10\n }\n}", "cache"),
    ],
)
def test_a_slip_is_told(text: str, told: str) -> None:
    with pytest.raises(CorefileError) as caught:
        Desk(text, (), None)
    assert told in str(caught.value)


def test_the_nearest_word_is_named() -> None:
    with pytest.raises(CorefileError, match="forward"):
        blocks(". {\n forwrad . 1.1.1.1\n}")


def test_snippets_are_put_in_and_the_environment_is_filled_in() -> None:
    text = """(zone) {
        file db.{$NAME} {%ZONE%}
    }
    {$ZONE}:{%PORT%} {
        import zone
        errors
    }"""
    block = blocks(text, ZONE="example.org", PORT="5300", NAME="a")[0]
    assert block.keys == ("example.org:5300",)
    assert words(block, "file") == ["file", "db.a", "example.org"]


def test_files_are_imported_by_pattern_relative_to_the_corefile(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "a.conf").write_text("errors\n")
    (tmp_path / "parts" / "b.conf").write_text("whoami\n")
    main = tmp_path / "Corefile"
    main.write_text(". {\n import parts/*.conf\n}\n")
    block = parse(main.read_text(), str(main), Sources(PLUGINS))[0]
    assert list(block.directives) == ["errors", "whoami"]


def test_a_snippet_that_imports_itself_ends() -> None:
    with pytest.raises(CorefileError):
        blocks("(a) {\n import a\n}\n. {\n import a\n}")


@pytest.mark.parametrize(
    ("keys", "zones"),
    [
        ("10.0.0.0/23", ["0.0.10.in-addr.arpa.", "1.0.10.in-addr.arpa."]),
        ("a.org b.org:1053", ["a.org.", "b.org."]),
        ("tls://example.org", ["example.org."]),
        ("https://example.org:8443", ["example.org."]),
        ("EXAMPLE.org", ["example.org."]),
    ],
)
def test_a_block_s_keys_are_zones(keys: str, zones: list[str]) -> None:
    made = Desk(f"{keys} {{\n whoami\n}}", (), None)
    assert [site.zone for site in made.instance.sites] == zones


ATOMS = st.sampled_from(
    ["{", "}", "\n", " ", '"', "#", "\\", "(a)", "import", "a", ".", "example.org:53", "errors",
     "cache", "{$X}", "{args[0]}", "{args[:]}", "tls://x", "10.0.0.0/8", "log", ",", "{%Y%}", "é"]
)  # fmt: skip


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(st.one_of(ATOMS, st.text(max_size=5)), max_size=40))
def test_no_text_crashes_the_parser(parts: list[str]) -> None:
    with contextlib.suppress(CorefileError):
        for block in blocks("".join(parts), X="x y", Y='"'):
            assert set(block.directives) <= set(PLUGINS)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.sampled_from(sorted(PLUGINS)), st.data())
def test_no_words_crash_a_plugin_s_setup(plugin: str, data: st.DataObject) -> None:
    atoms = st.sampled_from(
        ["-1", "0", "1", "5s", "x", ".", "example.org", "1.2.3.4", "fd00::/8", "a.db", "name", "A",
         "stop", "fallthrough", "ttl", "{", "}", "\n", '""', "type", "to", "*", ":0", "99999999999",
         "success", "class", "allow", "net", "hmac-sha256", "/", "(", "exact"]
    )  # fmt: skip
    text = " ".join(data.draw(st.lists(atoms, max_size=8)))
    with contextlib.suppress(CorefileError):
        assert Desk(f". {{\n {plugin} {text}\n}}", (), None).instance.sites
