"""Credentials: one refresh at a time, stored before use, refused in plain words."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from aiokafka.errors import KafkaError

from app.core.auth import Credential, Tokens, Vault, tokens_of
from app.core.errors import AuthError, ConfigError, DecodeError, RateLimited, RetryableError
from app.core.http import HttpClient
from app.core.talk import Request, Response
from schemas.platform import Auth

OAUTH = Auth(kind="oauth2", token_url="/token", rotates=True)
SECRETS = {"client_id": "app", "client_secret": "hush", "refresh_token": "r0"}


class TokenEndpoint(HttpClient):
    """Answers refreshes in turn; what it gave is what the next refresh must show."""

    def __init__(self, *replies: Response) -> None:
        self.moved = False
        self.replies = list(replies)
        self.forms: list[Mapping[str, str]] = []

    async def send(self, request: Request, headers: Mapping[str, str], params: Mapping[str, str]) -> Response:
        await asyncio.sleep(0)
        self.forms.append({**(request.form or {}), **headers})
        if self.replies:
            return self.replies.pop(0)
        number = len(self.forms)
        body = {"access_token": f"a{number}", "refresh_token": f"r{number}", "expires_in": 1800}
        return Response(status=200, body=json.dumps(body).encode())


class Desk:
    """A credential with its clock and what it stored."""

    def __init__(self, *replies: Response, tokens: Tokens | None = None, auth: Auth = OAUTH) -> None:
        self.now, self.stored, self.used = 1_000.0, [], []  # type: ignore[var-annotated]
        self.endpoint = TokenEndpoint(*replies)
        self.credential = Credential(
            auth, SECRETS, self.endpoint, clock=lambda: self.now, store=self._store, tokens=tokens
        )

    async def _keep(self, tokens: Tokens) -> None:
        self.stored.append(tokens)

    async def _store(self, tokens: Tokens) -> None:
        assert self.credential.access != tokens.access, "stored before it is used"
        self.stored.append(tokens)


async def test_eight_callers_make_one_refresh_and_it_is_stored_before_use() -> None:
    desk = Desk()
    found = await asyncio.gather(*(desk.credential.headers() for _ in range(8)))
    assert found == [{"Authorization": "Bearer a1"}] * 8
    assert len(desk.endpoint.forms) == 1
    assert [tokens.refresh for tokens in desk.stored] == ["r1"]


async def test_the_rotated_token_is_the_next_one_shown() -> None:
    desk = Desk()
    await desk.credential.headers()
    desk.now += 1_750
    assert await desk.credential.headers() == {"Authorization": "Bearer a2"}
    assert [form["refresh_token"] for form in desk.endpoint.forms] == ["r0", "r1"]


@pytest.mark.parametrize("waits", ["_exchange", "_store"])
async def test_a_new_refresh_token_is_stored_though_who_asked_for_it_is_cancelled(
    waits: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, go, there = Desk(), asyncio.Event(), asyncio.Event()
    usual = getattr(desk.credential, waits)

    async def slow(*given: Any) -> Any:
        there.set()
        await go.wait()
        return await usual(*given)

    monkeypatch.setattr(desk.credential, waits, slow)
    asking = asyncio.create_task(desk.credential.headers())
    await there.wait()
    asking.cancel()
    await asyncio.wait({asking})
    again = asyncio.create_task(desk.credential.refresh(""))
    settled = asyncio.create_task(desk.credential.settled(30))
    await asyncio.sleep(0.01)
    assert not settled.done()
    go.set()
    await asyncio.gather(again, settled)
    assert [tokens.refresh for tokens in desk.stored] == ["r1"]
    assert (len(desk.endpoint.forms), desk.credential.access) == (1, "a1")


async def test_nobody_waits_for_tokens_longer_than_said() -> None:
    desk, never = Desk(), asyncio.Event()
    await desk.credential.settled(30)
    desk.credential._store = lambda _tokens: never.wait()  # type: ignore[assignment,return-value]
    asking = asyncio.create_task(desk.credential.headers())
    await asyncio.sleep(0.01)
    await desk.credential.settled(0.01)
    assert not asking.done()
    asking.cancel()


async def test_what_could_not_be_stored_is_stored_before_anything_else_is_asked_for() -> None:
    desk, failures = Desk(), [KafkaError("no broker"), KafkaError("no broker")]
    usual = desk.credential._store

    async def store(tokens: Tokens) -> None:
        if failures:
            raise failures.pop()
        await usual(tokens)

    desk.credential._store = store
    for _ in range(2):
        with pytest.raises(KafkaError):
            await desk.credential.headers()
    assert await desk.credential.headers() == {"Authorization": "Bearer a1"}
    assert [form["refresh_token"] for form in desk.endpoint.forms] == ["r0"]
    assert [tokens.refresh for tokens in desk.stored] == ["r1"]


async def test_what_could_not_be_stored_never_replaces_what_somebody_connected_since() -> None:
    desk = Desk()
    usual = desk.credential._store

    async def fails(_tokens: Tokens) -> None:
        raise KafkaError("no broker")

    desk.credential._store = fails
    with pytest.raises(KafkaError):
        await desk.credential.headers()
    desk.credential._store = usual
    desk.credential.adopt(Tokens(access="theirs", refresh="consent"))
    await desk.credential.refresh("theirs")
    assert [form["refresh_token"] for form in desk.endpoint.forms] == ["r0", "consent"]
    assert [tokens.refresh for tokens in desk.stored] == ["r2"]


async def test_a_refused_grant_is_named_without_the_body() -> None:
    body = b'{"error": "invalid_grant", "error_description": "token r0 of jane@example.com"}'
    desk = Desk(Response(status=400, body=body))
    with pytest.raises(AuthError, match="invalid_grant") as caught:
        await desk.credential.headers()
    assert "r0" not in str(caught.value)
    assert "jane" not in str(caught.value)
    assert desk.stored == []


@pytest.mark.parametrize(
    ("told", "expires_at", "ends"),
    [
        ({"expires_in": 3600, "refresh_token": "r1", "refresh_token_expires_in": 7_776_000}, 4_600.0, 7_776_000),
        ({"refresh_token": "r1", "refresh_token_expires_in": 7_776_000}, 2_800.0, 7_776_000),
        ({"refresh_token": "r1", "expires_in": None}, 2_800.0, None),
    ],
)
async def test_what_a_refresh_says_of_the_ends_is_kept(
    told: dict[str, Any], expires_at: float, ends: float | None
) -> None:
    desk = Desk(Response(status=200, body=json.dumps({"access_token": "a", **told}).encode()))
    await desk.credential.headers()
    assert (desk.stored[0].expires_at, desk.credential.expires_in) == (expires_at, ends)


def test_a_token_that_nothing_renews_is_used_until_it_is_refused() -> None:
    reply = Response(status=200, body=b'{"access_token": "a", "scope": "write_orders"}')
    assert tokens_of(OAUTH, reply, Tokens(access=""), 1_000.0).expires_at == 0
    alone = Auth(kind="client_credentials")
    assert tokens_of(alone, reply, Tokens(access=""), 1_000.0).expires_at == 2_800


async def test_a_busy_token_endpoint_is_tried_again_later() -> None:
    desk = Desk(Response(status=429, headers={"retry-after": "7"}), Response(status=503))
    with pytest.raises(RateLimited) as caught:
        await desk.credential.headers()
    assert caught.value.retry_after == 7
    with pytest.raises(RetryableError):
        await desk.credential.headers()
    assert await desk.credential.headers() == {"Authorization": "Bearer a3"}


async def test_a_token_reply_without_a_token_is_unreadable() -> None:
    desk = Desk(Response(status=200, body=b"[]"))
    with pytest.raises(DecodeError):
        await desk.credential.headers()


async def test_stored_tokens_are_used_until_the_configuration_names_a_new_one() -> None:
    first = Desk()
    await first.credential.headers()
    (stored,) = first.stored
    assert Desk(tokens=stored).credential.access == "a1"
    changed = Credential(
        OAUTH, {**SECRETS, "refresh_token": "again"}, TokenEndpoint(), clock=lambda: 0.0, store=first._store,
        tokens=stored,
    )  # fmt: skip
    assert changed.access == ""


async def test_basic_clients_send_no_secret_in_the_form() -> None:
    desk = Desk(auth=Auth(kind="client_credentials", token_url="/token", basic_client=True))
    await desk.credential.headers()
    (form,) = desk.endpoint.forms
    assert form["Authorization"] == "Basic YXBwOmh1c2g="
    assert "client_secret" not in form


async def test_an_apps_own_token_is_asked_for_with_its_rights() -> None:
    desk = Desk(auth=Auth(kind="client_credentials", token_url="/token", app_form={"scope": "journal.read"}))
    await desk.credential.headers()
    (form,) = desk.endpoint.forms
    assert (form["grant_type"], form["scope"]) == ("client_credentials", "journal.read")


def test_sealed_tokens_open_only_under_their_key() -> None:
    tokens = Tokens(access="secret-access", refresh="secret-refresh", expires_at=5.0)
    sealed = Vault("one").seal(tokens)
    assert b"secret" not in sealed
    assert Vault("one").open(sealed) == tokens
    with pytest.raises(ConfigError):
        Vault("two").open(sealed)
    with pytest.raises(ConfigError):
        Vault("")


async def test_a_missing_secret_is_named() -> None:
    credential = Credential(
        Auth(kind="bearer"), {}, TokenEndpoint(), clock=lambda: 0.0, store=Desk()._store, tokens=None
    )
    with pytest.raises(ConfigError, match="token"):
        await credential.headers()


async def test_the_end_of_the_refresh_token_is_told_where_the_platform_names_it() -> None:
    body = b'{"access_token": "a", "expires_in": 3600, "x_refresh_token_expires_in": 8640000}'
    desk = Desk(Response(status=200, body=body))
    assert desk.credential.expires_in is None
    await desk.credential.headers()
    desk.now += 1_000
    assert desk.credential.expires_in == 8_639_000


async def test_the_end_that_no_refresh_moves_is_asked_for_and_told_once_it_comes_first() -> None:
    replies = [
        b'{"access_token": "%b", "x_refresh_token_expires_in": 8640000, "x_refresh_token_hard_expires_in": %d}' % each
        for each in ((b"a", 157_680_000), (b"b", 3_600))
    ]
    asking = msgspec.structs.replace(OAUTH, token_headers={"x-say-the-end": "true"})
    desk = Desk(*(Response(status=200, body=body) for body in replies), auth=asking)
    await desk.credential.headers()
    assert (desk.endpoint.forms[0]["x-say-the-end"], desk.credential.expires_in) == ("true", 8_640_000)
    await desk.credential.refresh("a")
    assert desk.credential.expires_in == 3_600


async def test_where_replies_name_no_end_the_platforms_own_counts_from_the_newest_refresh_token() -> None:
    body = b'{"access_token": "a", "expires_in": 100, "refresh_token": "r1"}'
    desk = Desk(Response(status=200, body=body), auth=msgspec.structs.replace(OAUTH, refresh_seconds=5_000.0))
    await desk.credential.headers()
    desk.now += 1_000
    assert desk.credential.expires_in == 4_000
    await desk.credential.refresh("a")
    assert desk.credential.expires_in == 5_000


async def test_what_somebody_else_stored_is_taken_unless_the_configuration_names_another_beginning() -> None:
    desk = Desk()
    await desk.credential.headers()
    mine = desk.stored[0]
    desk.credential.adopt(Tokens(access="b1", refresh="r1", origin=mine.origin, account="7"))
    assert desk.credential.access == "b1", "the refresh token of some platforms never changes"
    desk.credential.adopt(Tokens(access="c1", refresh="r9", origin="of another"))
    assert desk.credential.access == "b1"
    await desk.credential.refresh("b1")
    assert desk.stored[-1].account == "7", "whose they are outlives a refresh"


@pytest.mark.parametrize(
    ("found", "used", "exchanged"),
    [
        (None, "a1", ["r0"]),
        (Tokens(access="a0", refresh="r0"), "a1", ["r0"]),
        (Tokens(access="b1", refresh="r1", expires_at=9_000.0), "b1", []),
        (Tokens(access="b1", refresh="r1", expires_at=500.0), "a1", ["r1"]),
        (Tokens(access="", refresh="r1"), "a1", ["r1"]),
        (Tokens(access="b1", refresh="r1", origin="of another"), "a1", ["r0"]),
    ],
)
async def test_a_new_consent_counts_from_the_next_refresh_on(
    found: Tokens | None, used: str, exchanged: list[str]
) -> None:
    async def stored() -> Tokens | None:
        return found

    desk, held = Desk(), Tokens(access="a0", refresh="r0", expires_at=900.0)
    credential = Credential(
        OAUTH, SECRETS, desk.endpoint, clock=lambda: 1_000.0, store=desk._keep, tokens=held, stored=stored
    )
    assert await credential.headers() == {"Authorization": f"Bearer {used}"}
    assert [form["refresh_token"] for form in desk.endpoint.forms] == exchanged


async def test_a_stored_key_serves_where_none_is_configured() -> None:
    stored = Tokens(access="sk_stored")
    for secrets, used in (({}, "sk_stored"), ({"token": "sk_configured"}, "sk_configured")):
        credential = Credential(
            Auth(kind="bearer"), secrets, TokenEndpoint(), clock=lambda: 0.0, store=Desk()._store, tokens=stored
        )
        assert await credential.headers() == {"Authorization": f"Bearer {used}"}


async def test_a_client_without_a_secret_only_names_itself() -> None:
    endpoint = TokenEndpoint()
    auth = Auth(kind="oauth2", token_url="/token", basic_client=True)
    credential = Credential(
        auth, {"client_id": "app", "refresh_token": "r0"}, endpoint, clock=lambda: 0.0, store=Desk()._store, tokens=None
    )
    await credential.headers()
    assert endpoint.forms == [{"grant_type": "refresh_token", "refresh_token": "r0", "client_id": "app"}]


async def test_before_anybody_consented_nothing_is_asked_of_the_platform() -> None:
    endpoint = TokenEndpoint()
    secrets = {"client_id": "app", "client_secret": "hush"}
    credential = Credential(OAUTH, secrets, endpoint, clock=lambda: 0.0, store=Desk()._store, tokens=None)
    with pytest.raises(AuthError, match="no tokens yet: `o2c connect`"):
        await credential.headers()
    assert endpoint.forms == []
