"""How a connection stands, and that nobody says what nobody knows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from app.config.model import ResolvedConnection
from app.connecting.standing import Held, Page, Standing, page_of, standing
from app.connectors.gauges import ConnectionGauges, Lag
from app.connectors.reading import Cursor
from app.core.auth import Tokens
from app.core.metrics import new_metrics
from schemas.connection import Connection
from schemas.platform import Auth
from schemas.platforms.shopify import PLATFORM as SHOPIFY
from schemas.platforms.xero import PLATFORM

OAUTH = Auth(kind="oauth2")
EARLY, LATE = datetime(2026, 5, 1, 9, tzinfo=UTC), datetime(2026, 5, 1, 10, tzinfo=UTC)
MINE = Page(owned=frozenset({1}), wrong={}, quota_left={"books": 54.0})


def stands(
    held: Held | None = None, page: Page | None = MINE, account: str = "org-1", auth: Auth = OAUTH, secrets: Any = None
) -> Standing:
    connection = Connection(name="books", tenant="acme", platform="xero", account=account)
    resolved = ResolvedConnection(
        connection=connection,
        secrets=secrets or {},
        allow_private=False,
        sweep_seconds=1.0,
        quota_share=1.0,
    )
    return standing(resolved, auth, ("invoices", "payments"), 1, held or Held(), page=page, address="http://h:1")


def test_what_works_is_well() -> None:
    found = stands()
    assert (found.state, found.why, found.quota_left) == ("well", "", 54)


@pytest.mark.parametrize("subject", ["books", "kafka", "group"])
def test_what_stopped_says_why_even_when_it_is_paused_as_well(subject: str) -> None:
    page = Page(owned=frozenset({1}), wrong={subject: "The token was revoked."}, quota_left={})
    for paused in (frozenset[str](), frozenset({"books"})):
        found = stands(Held(paused=paused), page)
        assert (found.state, found.why, found.paused) == ("stopped", "The token was revoked.", bool(paused))


def test_what_is_wrong_with_another_connection_is_not_ours() -> None:
    assert stands(page=Page(owned=frozenset({1}), wrong={"shop": "away"}, quota_left={})).state == "well"


def test_a_pause_is_known_without_the_connectors() -> None:
    for page in (MINE, None):
        assert stands(Held(paused=frozenset({"books"})), page).state == "paused"


def test_a_state_that_nobody_shows_is_not_known() -> None:
    silent, elsewhere = stands(page=None), stands(page=Page(owned=frozenset({0}), wrong={}, quota_left={"books": 9.0}))
    assert (silent.state, silent.why, silent.quota_left) == (
        "unknown",
        "The connectors do not answer at http://h:1.",
        None,
    )
    assert (elsewhere.state, elsewhere.why) == ("unknown", "The worker at http://h:1 does not own it.")
    assert elsewhere.quota_left is None, "the figure of an owner of yesterday"


def test_tokens_tell_whose_they_are_and_when_they_end() -> None:
    tokens = Tokens(access="a", refresh="r", expires_at=100.0, refresh_expires_at=900.0, account="org-1")
    found = stands(Held(tokens={"books": tokens}))
    assert (found.credential, found.connected_account) == ("stored", "org-1")
    assert (found.access_expires_at, found.connect_again_by) == (100.0, 900.0)
    bare = stands(Held(tokens={"books": Tokens(access="a")}))
    assert (bare.connected_account, bare.access_expires_at, bare.connect_again_by) == (None, None, None)


@pytest.mark.parametrize(
    ("tokens", "secrets", "auth", "said"),
    [
        ({}, {}, OAUTH, "missing"),
        ({"books": None}, {}, OAUTH, "unreadable"),
        ({"shop": Tokens(access="a")}, {"token": ""}, OAUTH, "missing"),
        ({}, {"refresh_token": "r"}, OAUTH, "configured"),
        ({}, {"token": "t"}, OAUTH, "configured"),
        ({}, {}, Auth(kind="client_credentials"), "configured"),
        ({}, {}, SHOPIFY.proof({}), "configured"),
        ({}, {}, SHOPIFY.proof({"grant": "consent"}), "missing"),
        ({"books": Tokens(access="a", refresh="r")}, {}, SHOPIFY.proof({"grant": "consent"}), "stored"),
        ({}, {"token": "t"}, SHOPIFY.auth, "configured"),
    ],
)
def test_where_the_credential_is(tokens: dict[str, Any], secrets: dict[str, str], auth: Auth, said: str) -> None:
    assert stands(Held(tokens=tokens), auth=auth, secrets=secrets).credential == said


def test_everything_was_seen_up_to_the_sweep_that_is_behind() -> None:
    both = {"invoices": Cursor("1", LATE), "payments": Cursor("2", EARLY), "@recheck": Cursor("3")}
    assert stands(Held(cursors={"books": both})).complete_up_to == EARLY
    for first in (None, Cursor("1")):
        some = {"payments": Cursor("2", EARLY)} | ({} if first is None else {"invoices": first})
        assert stands(Held(cursors={"books": some})).complete_up_to is None


def test_an_account_that_is_not_configured_is_none() -> None:
    assert (stands(account="...").account, stands().account) == (None, "org-1")


def test_what_waits_is_counted_for_its_connection() -> None:
    assert stands(Held(waiting={"books": 3, "shop": 9})).waiting == 3


def test_a_page_is_read_as_the_roles_write_it() -> None:
    metrics = new_metrics()
    lag = Lag(metrics)
    lag.show("t.inbox", 1, lambda: 4.0)
    lag.show("t.commands", 0, lambda: 4.0)
    connection = Connection(name="books", tenant="acme", platform="xero", account="org-1")
    ConnectionGauges(metrics, PLATFORM, connection).show("quota_left", lambda: 54.0)
    page = page_of(metrics.exposition().decode(), {"books": "away"}, "t.inbox")
    assert page == Page(owned=frozenset({1}), wrong={"books": "away"}, quota_left={"books": 54.0})
