"""A decision names what the person saw."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from app.core.errors import ConfigError
from app.decisions import decision
from schemas.order_state import PublicOrder, Shown, Waiting
from schemas.state import Conflict

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ORDER = PublicOrder(
    key="a" * 32,
    tenant="acme",
    number="SO-1",
    shown=(
        Shown(connection="books", account="b", type="invoice", id="1", kind="invoice", status="void", write="w1"),
        Shown(connection="crm", account="c", type="deal", id="2", kind="order", status="open", write="w2"),
    ),
    waiting=(Waiting(connection="books", capability="record_payment", outcome="rejected", write="w3", digest="d3"),),
    conflicts=(Conflict(field="note", kept="x", lost="y"),),
)


def test_a_retry_of_one_write_names_what_was_refused() -> None:
    found = decision(ORDER, "retry", "w3", "ada", NOW)
    assert (found.order, found.tenant, found.write, found.digest, found.by) == (ORDER.key, "acme", "w3", "d3", "ada")
    assert decision(ORDER, "retry", "", "ada", NOW).write == ""
    with pytest.raises(ConfigError, match="waits for no write"):
        decision(ORDER, "retry", "w1", "ada", NOW)


def test_the_only_document_that_ended_needs_no_name() -> None:
    found = decision(ORDER, "recreate", "", "ada", NOW)
    assert (found.write, found.generation) == ("w1", 0)
    with pytest.raises(ConfigError, match="there is none"):
        decision(ORDER, "recreate", "w2", "ada", NOW)


def test_only_what_lost_can_be_given_back() -> None:
    assert decision(ORDER, "revert", "note", "ada", NOW).field == "note"
    with pytest.raises(ConfigError, match="no conflict about email"):
        decision(ORDER, "revert", "email", "ada", NOW)


def test_a_decision_about_an_alias_goes_to_the_order_that_it_is_one_with() -> None:
    alias = PublicOrder(key="a" * 32, tenant="acme", alias_of="b" * 32)
    assert decision(alias, "resume", "", "ada", NOW).order == "b" * 32
