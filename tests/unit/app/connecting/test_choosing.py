"""Which account it becomes: the configured one, the only one, or the picked one; never another in silence."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from app.connecting.choosing import Reached, chosen, quoted, reached, wanted
from app.core.errors import ConfigError, DecodeError
from app.core.talk import Response
from schemas.platform import Auth

A, B = Reached("a-1", "Alpha"), Reached("b-2")


def never(there: Sequence[Reached]) -> str:
    raise AssertionError(f"nobody is to be asked about {there}")


def test_the_configured_account_needs_no_question() -> None:
    assert chosen("books", (A, B), "b-2", never) == "b-2"


def test_the_only_account_needs_no_question() -> None:
    assert chosen("books", (A,), "", never) == "a-1"


def test_of_several_a_person_picks() -> None:
    assert chosen("books", (A, B), "", lambda there: there[1].id) == "b-2"
    with pytest.raises(ConfigError, match=r"c-3 is none of a-1 \(Alpha\), b-2; run"):
        chosen("books", (A, B), "", lambda _: "c-3")
    with pytest.raises(ConfigError, match="Nothing is none of"):
        chosen("books", (A, B), "", lambda _: "")


def test_another_account_is_named_with_what_to_write() -> None:
    with pytest.raises(ConfigError, match='set account = "a-1" and connect again'):
        chosen("books", (A,), "x", never)
    with pytest.raises(ConfigError, match=r"a-1 \(Alpha\), b-2, not to account x of books.*one of these"):
        chosen("books", (A, B), "x", never)
    with pytest.raises(ConfigError, match="reaches no account"):
        chosen("books", (), "x", never)


def test_what_is_asked_for_may_not_contradict_the_configuration() -> None:
    assert wanted("books", "...", "") == ""
    assert wanted("books", "...", "a-1") == "a-1"
    assert wanted("books", "a-1", "") == "a-1"
    assert wanted("books", "a-1", "a-1") == "a-1"
    with pytest.raises(ConfigError, match='configured for account a-1; choose that one, or set account = "b-2"'):
        wanted("books", "a-1", "b-2")


def test_a_list_of_accounts_is_read_by_the_fields_that_the_platform_names() -> None:
    auth = Auth(account_id="tenantId", account_name="tenantName")
    body = b'[{"tenantId": "a-1", "tenantName": "Alpha"}, {"tenantId": "b-2"}]'
    assert reached(auth, Response(status=200, body=body)) == (A, B)
    for strange in (b'[{"id": "a-1"}]', b"7", b'["a-1"]', b"<html>"):
        with pytest.raises(DecodeError):
            reached(auth, Response(status=200, body=strange))


def test_an_account_is_quoted_as_toml() -> None:
    assert quoted('a"b') == '"a\\"b"'
