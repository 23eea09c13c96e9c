"""Digests, totals and differences of rows; what was shown is kept, and told without harm."""

from __future__ import annotations

import csv
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import ConfigError
from app.planning.plan import Lost, Plan, Row, Total, Trouble, differences, digest_of, totals_of
from app.planning.shelf import Shelf
from app.planning.telling import as_csv, difference_lines, neutral, plan_lines
from schemas.findings import Finding

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)


def row(number: int = 1, **changes: Any) -> Row:
    values: dict[str, Any] = {
        "order": f"{number:032x}", "number": f"SO-{number}", "target": "books", "document": "invoice", "action": "create",
        "amount": "10.00", "currency": "EUR", "write": "books|document", "capability": "upsert_invoice", "content": "a",
    }  # fmt: skip
    return Row(**{**values, **changes})


def plan(*rows: Row, **changes: Any) -> Plan:
    values: dict[str, Any] = {
        "flow": "web", "tenant": "acme", "mode": "shadow", "digest": digest_of("acme", "web", rows), "planned_at": AT, "since": AT,
        "orders": len(rows), "unread": 0, "rows": rows, "totals": totals_of(rows), "findings": (), "conflicts": (),
    }  # fmt: skip
    return Plan(**{**values, **changes})


@given(st.permutations([row(number) for number in range(5)]))
def test_a_digest_does_not_depend_on_the_sequence(rows: list[Row]) -> None:
    assert digest_of("acme", "web", rows) == digest_of("acme", "web", sorted(rows, key=lambda one: one.number))


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": "10.01"}, {"currency": "USD"}, {"content": "b"}, {"existing": "7"}, {"date": "2026-03-02"},
        {"order": "f" * 32}, {"write": "other|document"}, {"action": "adopt"},
    ],
)  # fmt: skip
def test_a_digest_depends_on_what_is_written_where(changes: dict[str, Any]) -> None:
    assert digest_of("acme", "web", [row(**changes)]) != digest_of("acme", "web", [row()])


@pytest.mark.parametrize("changes", [{"reason": "x"}, {"asks_first": True}, {"follows": True}])
def test_a_digest_does_not_depend_on_how_it_is_told(changes: dict[str, Any]) -> None:
    assert digest_of("acme", "web", [row(**changes)]) == digest_of("acme", "web", [row()])


def test_a_plan_of_another_flow_has_another_digest() -> None:
    digests = {digest_of(*whose, [row()]) for whose in (("acme", "web"), ("acme", "desk"), ("other", "web"))}
    assert len(digests) == 3


def test_totals_are_per_target_kind_and_currency_and_a_change_adds_no_amount() -> None:
    rows = [
        row(1, amount="0.10"), row(2, amount="0.20"), row(3, amount="5", currency="JPY"), row(4, target="qbo"),
        row(5, action="change", amount="", currency=""), row(6, action="adopt", amount="7.00"),
        row(7, amount="1.00", old=True),
    ]  # fmt: skip
    assert [msgspec.structs.astuple(total) for total in totals_of(rows)] == [
        ("books", "adopt", "invoice", "EUR", False, 1, "7.00"),
        ("books", "change", "invoice", "", False, 1, ""),
        ("books", "create", "invoice", "EUR", False, 2, "0.30"),
        ("books", "create", "invoice", "EUR", True, 1, "1.00"),
        ("books", "create", "invoice", "JPY", False, 1, "5"),
        ("qbo", "create", "invoice", "EUR", False, 1, "10.00"),
    ]
    assert all(isinstance(total, Total) for total in totals_of(rows))


def test_differences_name_what_came_went_and_changed() -> None:
    found = differences([row(1), row(2), row(3)], [row(2), row(3, amount="11.00"), row(4)])
    assert [one.number for one in found.added] == ["SO-4"]
    assert [one.number for one in found.removed] == ["SO-1"]
    assert [(one.before.amount, one.now.amount) for one in found.changed] == [("10.00", "11.00")]
    assert found
    assert not differences([row(1)], [row(1, reason="told otherwise")])


@given(st.text(alphabet="=+-@\t\r\n'a1,\" ;", max_size=8))
def test_no_cell_begins_as_a_formula_does(text: str) -> None:
    (shown,) = csv.DictReader(as_csv([plan(row(1, reason=text))]).splitlines(keepends=True))
    assert not shown["reason"].startswith(("=", "+", "-", "@", "\t", "\r"))
    assert shown["reason"].removeprefix("'") == text or shown["reason"] == text


def test_a_number_that_is_a_formula_is_neutralised_and_an_amount_stays_a_number() -> None:
    (shown,) = csv.DictReader(as_csv([plan(row(1, reason="@SUM(A1)"))]).splitlines())
    assert (shown["reason"], shown["amount"], shown["asks_first"]) == ("'@SUM(A1)", "10.00", "no")
    assert neutral("=1+1") == "'=1+1"
    assert neutral("SO=1") == "SO=1"


def test_text_names_everything_and_moves_no_cursor() -> None:
    findings = (Trouble(order="o", number="SO-9", finding=Finding("unmapped_status", "block", "Odd.", "b", "map it")),)
    conflicts = (Lost(order="o", number="SO-8", field="note", kept="a", kept_by="x", lost="b", lost_by="y"),)
    shown = plan(
        row(1, reason="\x1b[2Jgone"), row(2, action="adopt", existing="77"), findings=findings, conflicts=conflicts
    )
    lines = list(plan_lines(shown))
    assert lines[0] == "web (shadow): 2 orders, 1 writes, 1 adopted, 1 blocked"
    assert "blocked: SO-9 Odd; map it." in lines
    assert "conflict: SO-8 note: 'a' of x is kept, 'b' of y lost" in lines
    assert lines[-1] == f"plan {shown.digest}; to write it: o2c flows go-live web --plan {shown.digest}"
    assert not any("\x1b" in line for line in lines)
    assert any("[77]" in line for line in lines)


def test_differences_as_text_show_both_sides_of_a_change() -> None:
    lines = list(difference_lines(plan(), differences([row(1), row(2)], [row(1, amount="11.00"), row(3)])))
    assert [line[0] for line in lines[1:-1]] == ["+", "-", "<", ">"]
    assert "Nothing differs" in list(difference_lines(plan(), differences([], [])))[1]


def test_what_was_shown_is_found_again_and_the_last_is_the_newest(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, "acme", "web")
    assert (shelf.last(), shelf.find("0" * 16)) == (None, None)
    first, second = plan(row(1)), plan(row(2))
    shelf.keep(first)
    _age(tmp_path, first)
    shelf.keep(second)
    assert (shelf.find(first.digest), shelf.last()) == (first, second)
    _age(tmp_path, second)
    shelf.keep(first)
    assert shelf.last() == first
    assert Shelf(tmp_path, "acme", "desk").find(first.digest) is None
    files = list(tmp_path.rglob("*.json"))
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_only_the_newest_plans_are_kept(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, "acme", "web")
    for number in range(25):
        shelf.keep(plan(row(number), planned_at=AT + timedelta(minutes=number)))
        for path in tmp_path.rglob("*.json"):
            os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 60))
    assert len(list(tmp_path.rglob("*.json"))) == 20
    assert shelf.last() == plan(row(24), planned_at=AT + timedelta(minutes=24))


@pytest.mark.parametrize("digest", ["../../../o2c", "", "0" * 15, "0" * 17, "ABCDEF0123456789"])
def test_a_digest_is_no_path(digest: str, tmp_path: Path) -> None:
    (tmp_path / "o2c.json").write_text("{}")
    assert Shelf(tmp_path, "acme", "web").find(digest) is None


def test_a_file_that_is_no_plan_is_named(tmp_path: Path) -> None:
    shelf, shown = Shelf(tmp_path, "acme", "web"), plan(row(1))
    shelf.keep(shown)
    (path,) = tmp_path.rglob("*.json")
    path.write_text("{}")
    with pytest.raises(ConfigError, match="is no plan of this version; remove it"):
        shelf.find(shown.digest)


def _age(folder: Path, shown: Plan) -> None:
    (path,) = folder.rglob(f"{shown.digest}.json")
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 60))


def test_orders_of_which_only_a_backfill_would_write_are_not_counted_as_written() -> None:
    made = plan(row(1), row(1, document="payment", follows=True), row(2, old=True), row(3, action="adopt"))
    assert (made.writes, made.written, made.orders) == (2, 1, 4)
