"""What is told of a server that does not answer, or does not let in."""

from __future__ import annotations

import errno
import ssl

import pytest

from sampan.api.errors import Forbidden, Unauthorized
from sampan.client.http import why
from sampan.client.transport import Unreachable
from sampan.client.trouble import REPEAT_S, Trouble, told


def test_the_same_trouble_is_told_once_and_again_when_it_lasts() -> None:
    trouble = Trouble()
    error = Unreachable("cannot reach x")
    assert trouble.news(error, 0)
    assert not trouble.news(error, 1)
    assert trouble.news(Forbidden("pods is forbidden"), 1), "another one is news"
    assert trouble.news(error, REPEAT_S)


def test_what_was_told_long_ago_is_forgotten() -> None:
    trouble = Trouble()
    for number in range(1000):
        assert trouble.news(Forbidden(f"pod {number} is forbidden"), number)
    assert len(trouble._told) <= REPEAT_S


def test_the_end_of_it_is_news_too() -> None:
    trouble = Trouble()
    assert not trouble.over(), "there was none"
    trouble.news(Unreachable("cannot reach x"), 0)
    assert trouble.over()
    assert not trouble.over()
    assert trouble.news(Unreachable("cannot reach x"), 1), "a new one"


def test_a_refusal_comes_with_the_next_step() -> None:
    assert "check the user's token" in told(Unauthorized("Unauthorized"))
    assert "bind a role" in told(Forbidden('pods is forbidden: User "u" cannot list'))


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('::1', 1)"),
         "Connection refused"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)"),
         "check scheme and port"),
        (ConnectionError("the server closed the connection"), "the server closed the connection"),
    ],
)  # fmt: skip
def test_a_failed_connection_is_told_in_words(error: Exception, says: str) -> None:
    assert says in why(error)
    assert "_ssl.c" not in why(error)


@pytest.mark.parametrize(
    ("refusal", "way_out"),
    [
        ('pods is forbidden: User "u" cannot list resource "pods"', "bind a role"),
        ('pods "a" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: '
         "pods=1", "ResourceQuota is used up"),
        ('pods "a" is forbidden: failed quota: q: must specify cpu for: c', "does not state"),
        ('pods "a" is forbidden: violates PodSecurity "restricted:latest": x', "Pod Security"),
        ('pods "a" is forbidden: [maximum cpu usage per Container is 1]', "an admission rule"),
    ],
)  # fmt: skip
def test_a_refusal_says_what_would_help(refusal: str, way_out: str) -> None:
    text = told(Forbidden(refusal))
    assert way_out in text
    assert ("bind a role" in text) == (way_out == "bind a role")
