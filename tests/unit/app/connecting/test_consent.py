"""What is asked of the browser, and which call-backs are no answer to it."""

from __future__ import annotations

import base64
import hashlib
from urllib.parse import parse_qs, urlsplit

import pytest

from app.connecting.consent import Question, answer, blames_client, grant, pasted, question
from app.core.errors import AuthError
from app.core.talk import Response
from schemas.platform import Auth

PLAIN = Auth(kind="oauth2", scopes=("a.read", "b.write"))
CHALLENGING = Auth(kind="oauth2", scopes=("a.read",), pkce=True)
NAMING = Auth(kind="oauth2", account_param="realmId")


def asked(auth: Auth = PLAIN) -> Question:
    return question(
        auth, "https://login.example.com/authorize", "app 1", connection="books",
        redirect_uri="http://localhost:8400/callback", state="s1", verifier="v1",
    )  # fmt: skip


def test_the_page_is_asked_for_a_code_with_every_scope() -> None:
    query = parse_qs(urlsplit(asked().url).query)
    assert query == {
        "response_type": ["code"],
        "client_id": ["app 1"],
        "redirect_uri": ["http://localhost:8400/callback"],
        "scope": ["a.read b.write"],
        "state": ["s1"],
    }


def test_a_challenge_is_the_digest_of_what_only_the_exchange_shows() -> None:
    found = asked(CHALLENGING)
    query = parse_qs(urlsplit(found.url).query)
    digest = base64.urlsafe_b64encode(hashlib.sha256(b"v1").digest()).decode().rstrip("=")
    assert (query["code_challenge"], query["code_challenge_method"]) == ([digest], ["S256"])
    assert "v1" not in found.url
    given = grant(found, answer(CHALLENGING, found, {"code": "c", "state": "s1"}))
    assert given["code_verifier"] == "v1"
    plain = asked()
    assert "code_verifier" not in grant(plain, answer(PLAIN, plain, {"code": "c", "state": "s1"}))


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"code": "c", "state": "s2"}, "another state"),
        ({"code": "c"}, "another state"),
        ({}, "another state"),
        ({"error": "access_denied", "state": "s2"}, "another state"),
        ({"error": "access_denied", "state": "s1"}, r"refused \(access_denied\)"),
        ({"error": "access_denied"}, r"refused \(access_denied\)"),
        ({"error": "server_error", "state": "s1"}, r"gave no consent \(server_error\)"),
        ({"state": "s1"}, "carries no code"),
    ],
)
def test_what_is_no_answer_says_so_with_the_next_step(told: dict[str, str], said: str) -> None:
    with pytest.raises(AuthError, match=said) as caught:
        answer(PLAIN, asked(), told)
    assert "; run `o2c connect books` again" in str(caught.value)
    assert str(caught.value).endswith(".")


def test_what_a_call_back_says_is_not_repeated_as_it_is() -> None:
    with pytest.raises(AuthError) as caught:
        answer(PLAIN, asked(), {"error": "\x1b[31mrun `rm -rf`" + "x" * 100})
    assert "\x1b" not in str(caught.value)
    assert "rm -rf`" not in str(caught.value)
    assert len(str(caught.value)) < 160


def test_the_account_is_the_one_that_the_call_back_names() -> None:
    assert answer(NAMING, asked(NAMING), {"code": "c", "state": "s1", "realmId": "42"}).account == "42"
    assert answer(PLAIN, asked(), {"code": "c", "state": "s1", "realmId": "42"}).account == ""
    with pytest.raises(AuthError, match=r"names no account \(realmId\)"):
        answer(NAMING, asked(NAMING), {"code": "c", "state": "s1"})


@pytest.mark.parametrize(
    "text",
    [
        "http://localhost:8400/callback?code=a%2Fb&state=s1\n",
        "  https://example.com/cb?code=a%2Fb&state=s1#_=_ ",
        "?code=a%2Fb&state=s1",
        "code=a%2Fb&state=s1",
    ],
)
def test_a_call_back_is_pasted_as_a_person_copies_it(text: str) -> None:
    assert pasted(text) == {"code": "a/b", "state": "s1"}


def test_nonsense_that_was_pasted_holds_nothing() -> None:
    assert pasted("hello\n") == {}


def test_a_refused_app_is_told_from_a_refused_code() -> None:
    assert blames_client(Response(status=401), "unauthorized")
    assert blames_client(Response(status=400), "invalid_client")
    assert blames_client(Response(status=400), "bad_client_id")
    assert not blames_client(Response(status=400), "invalid_grant")
    assert not blames_client(Response(status=400), "bad_auth_code")
