"""What is asked of the browser, and which call-backs are no answer to it."""

from __future__ import annotations

import base64
import hashlib
import hmac
from urllib.parse import parse_qs, urlsplit

import pytest

from app.connecting.consent import Question, answer, blames_client, grant, pasted, question
from app.core.errors import AuthError
from app.core.talk import Response
from schemas.platform import Auth

PLAIN = Auth(kind="oauth2", scopes=("a.read", "b.write"))
CHALLENGING = Auth(kind="oauth2", scopes=("a.read",), pkce=True)
SIGNING = Auth(kind="oauth2", signed_by="hmac", account_param="shop")
SIGNED = {"code": "0907a61c0c8d55e99db179b68161bc00", "shop": "some-shop.myshopify.com", "timestamp": "1337178173"}
WITH_STATE = {**SIGNED, "state": "0.6784241404160823"}
"""The call-back in Shopify's own documentation, signed under `hush`."""
HMAC = "700e2dadb827fcc8609e9d5ce208b2e9cdaab9df07390d2cbca10d7c328fc4bf"
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


def signed(told: dict[str, str], secret: str = "hush") -> str:
    found = question(
        SIGNING, "https://some-shop.myshopify.com", "app 1", connection="shop", redirect_uri="http://localhost:8400/cb",
        state=WITH_STATE["state"], verifier="",
    )  # fmt: skip
    return answer(SIGNING, found, told, secret).account


def test_a_signed_call_back_is_the_platforms_own() -> None:
    assert signed({**WITH_STATE, "hmac": HMAC}) == "some-shop.myshopify.com"
    assert signed(dict(reversed({"hmac": HMAC, **WITH_STATE}.items()))) == "some-shop.myshopify.com"


@pytest.mark.parametrize(
    ("told", "secret"),
    [
        ({"hmac": HMAC.replace("7", "6", 1)}, "hush"),
        ({"hmac": HMAC.upper()}, "hush"),
        ({"hmac": ""}, "hush"),
        ({}, "hush"),
        ({"hmac": HMAC}, "hush2"),
        ({"hmac": HMAC}, ""),
        ({"hmac": HMAC, "shop": "other-shop.myshopify.com"}, "hush"),
        ({"hmac": HMAC, "code": "another"}, "hush"),
        ({"hmac": HMAC, "locale": "en"}, "hush"),
        ({"hmac": HMAC, "locale": ""}, "hush"),
        ({"hmac": "4712bf92ffc2917d15a2f5a273e39f0116667419aa4b6ac0b3baaf26fa3c4d20"}, "hush"),
        ({"hmac": "\u00e9"}, "hush"),
    ],
)
def test_a_call_back_that_anybody_could_have_written_is_no_answer(told: dict[str, str], secret: str) -> None:
    with pytest.raises(AuthError, match=r"not signed under the client secret of shop \(hmac\)") as caught:
        signed({**WITH_STATE, **told}, secret)
    assert "; compare client_secret in its secrets, then run `o2c connect shop` again." in str(caught.value)


def test_two_parameters_cannot_be_passed_off_as_one() -> None:
    whole = {"a": "1&b=2"}
    digest = hmac.new(b"hush", b"a=1%26b=2&code=c&shop=s&state=0.6784241404160823", "sha256").hexdigest()
    assert signed({**whole, "code": "c", "shop": "s", "state": WITH_STATE["state"], "hmac": digest}) == "s"
    with pytest.raises(AuthError, match="not signed"):
        signed({"a": "1", "b": "2", "code": "c", "shop": "s", "state": WITH_STATE["state"], "hmac": digest})


def test_scopes_are_joined_as_the_platform_reads_them() -> None:
    auth = Auth(kind="oauth2", scopes=("read_orders", "write_orders"), scope_separator=",")
    assert parse_qs(urlsplit(asked(auth).url).query)["scope"] == ["read_orders,write_orders"]


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
