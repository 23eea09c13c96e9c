"""A decision names what the person saw."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from app.core.errors import ConfigError
from app.decisions import decision
from schemas.findings import Finding
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


UNDONE = Finding("undone", "warn", "What o2c wrote in books was undone.", "books", "")


def test_all_that_was_undone_is_made_anew_without_a_name_once_nothing_of_it_is_under_way() -> None:
    order = msgspec.structs.replace(ORDER, findings=(UNDONE,))
    assert decision(order, "recreate", "", "ada", NOW).write == ""
    assert decision(order, "recreate", "w1", "ada", NOW).write == "w1"
    for end in ("void", "undoing", "reversal", "status", "offset"):
        waits = Waiting(connection="books", capability="x", write=f"books|{end}|y")
        with pytest.raises(ConfigError, match="SO-1 has not come to its end yet"):
            decision(msgspec.structs.replace(order, waiting=(waits,)), "recreate", "", "ada", NOW)


def test_only_what_lost_can_be_given_back() -> None:
    assert decision(ORDER, "revert", "note", "ada", NOW).field == "note"
    with pytest.raises(ConfigError, match="no conflict about email"):
        decision(ORDER, "revert", "email", "ada", NOW)


def test_a_decision_about_an_alias_goes_to_the_order_that_it_is_one_with() -> None:
    alias = PublicOrder(key="a" * 32, tenant="acme", alias_of="b" * 32)
    assert decision(alias, "resume", "", "ada", NOW).order == "b" * 32
