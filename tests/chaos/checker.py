"""Says whether anything was lost, doubled or taken out of order: from what was sent and what the ledgers hold, alone.

Imports nothing of the project, so that it cannot share its mistakes. The order key is computed from the published rule.
Run by itself on what a run left: `python -m tests.chaos.checker FOLDER`.
"""

from __future__ import annotations

import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

_NAMESPACE = UUID("6f3c9c1e-0f5b-5d0a-9a53-0b9e4c1d7a10")
_MARK = re.compile(r"o2c1:([0-9a-f]{32}):[0-9a-f]{12}")
_MONEY = ("invoice", "sales_receipt", "payment", "credit", "refund")
Row = Mapping[str, Any]


def order_key(tenant: str, connection: str, account: str, type_: str, id_: str) -> str:
    """Return the published key of the order that an object gives its key to."""
    return uuid5(_NAMESPACE, f"order|{tenant}|{connection}@{account}/{type_}/{id_}").hex


def key_in(row: Row) -> str:
    """Return the order key in a document's mark, "" without one."""
    match = _MARK.search(str(row.get("mark") or ""))
    return match[1] if match else ""


@dataclass
class Wanted:
    """One order as it was sent; amounts as decimal text."""

    order: str
    key: str
    ledger: str
    totals: list[str] = field(default_factory=list)
    """By version, oldest first."""
    payments: list[str] = field(default_factory=list)


@dataclass
class Verdict:
    """One sentence per finding, and how much was compared."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    disorder: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)
    counts: dict[str, Any] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        """Tell whether nothing was found."""
        return not (self.lost or self.doubled or self.wrong or self.disorder or self.strangers)


def wanted(sent: Iterable[Row]) -> dict[str, Wanted]:
    """Return order key -> what was sent of it; an event sent twice is one event."""
    found: dict[str, Wanted] = {}
    seen: set[str] = set()
    for row in sent:
        if row["event"] in seen:
            continue
        seen.add(row["event"])
        key = order_key(row["tenant"], row["connection"], row["account"], "order", row["order"])
        order = found.setdefault(key, Wanted(row["order"], key, row["ledger"]))
        (order.totals if row["kind"] == "order" else order.payments).append(row["amount"])
    return found


def check(sent: Iterable[Row], books: Mapping[str, Iterable[Row]], histories: Mapping[str, Iterable[Row]]) -> Verdict:
    """Compare what was sent with what each ledger holds (*books*) and ever held (*histories*, in order)."""
    want = wanted(sent)
    verdict = Verdict()
    for ledger, rows in books.items():
        mine = {key: order for key, order in want.items() if order.ledger == ledger}
        _ledger(verdict, ledger, mine, list(rows), list(histories[ledger]))
    verdict.counts["orders"] = len(want)
    verdict.counts["versions"] = sum(len(order.totals) for order in want.values())
    verdict.counts["payments"] = sum(len(order.payments) for order in want.values())
    return verdict


def _ledger(verdict: Verdict, ledger: str, want: Mapping[str, Wanted], rows: list[Row], history: list[Row]) -> None:
    there = _by_order(rows)
    for key, order in want.items():
        _compare(verdict, f"{ledger}: order {order.order}", order, there.get(key, []))
    for key, found in there.items():
        if key not in want:
            verdict.strangers += [f"{ledger}: {row['kind']} {row['id']} belongs to nobody's order." for row in found]
    _customers(verdict, ledger, rows)
    _sums(verdict, ledger, want, rows)
    _ever(verdict, ledger, want, history)


def _by_order(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Return order key ("" = none) -> its documents, by their mark or by that of the invoice they belong to."""
    money = [row for row in rows if row["kind"] in _MONEY]
    invoices = {str(row["id"]): key_in(row) for row in money if row["kind"] == "invoice"}
    found: defaultdict[str, list[Row]] = defaultdict(list)
    for row in money:
        found[key_in(row) or invoices.get(str(row.get("invoice_id") or ""), "")].append(row)
    return found


def _compare(verdict: Verdict, what: str, order: Wanted, rows: list[Row]) -> None:
    bills = [row for row in rows if row["kind"] in {"invoice", "sales_receipt"}]
    paid = sorted(Decimal(row["amount"]) for row in rows if row["kind"] == "payment" and row["status"] != "void")
    sent = sorted(Decimal(amount) for amount in order.payments)
    _number(verdict, f"{what}: documents", len(bills), 1)
    _number(verdict, f"{what}: payments", len(paid), len(sent))
    if len(paid) == len(sent) and paid != sent:
        verdict.wrong.append(f"{what}: paid {paid} instead of {sent}.")
    for row in bills:
        if row["status"] != "paid" or Decimal(row["total"]) != Decimal(order.totals[-1]):
            verdict.wrong.append(f"{what}: {row['total']}, {row['status']}, instead of {order.totals[-1]}, paid.")
    marks = [row["mark"] for row in rows]
    if len(set(marks)) != len(marks):
        verdict.doubled.append(f"{what}: two documents carry one mark.")
    for row in rows:
        if row["kind"] in {"credit", "refund"} or row["status"] in {"void", "cancelled"}:
            verdict.wrong.append(f"{what}: {row['kind']} {row['id']} ({row['status']}) was asked for by nobody.")


def _number(verdict: Verdict, what: str, found: int, expected: int) -> None:
    if found < expected:
        verdict.lost.append(f"{what}: {found} instead of {expected}.")
    elif found > expected:
        verdict.doubled.append(f"{what}: {found} instead of {expected}.")


def _customers(verdict: Verdict, ledger: str, rows: Iterable[Row]) -> None:
    seen: defaultdict[str, list[str]] = defaultdict(list)
    for row in rows:
        if row["kind"] == "customer":
            mail = next((text for text in (row.get("customer"), row.get("note")) if text and "@" in text), "")
            seen[mail].append(str(row["id"]))
    verdict.counts[f"{ledger}.customers"] = len(seen)
    verdict.doubled += [
        f"{ledger}: customer {mail} is there {len(ids)} times." for mail, ids in seen.items() if ids[1:]
    ]


def _sums(verdict: Verdict, ledger: str, want: Mapping[str, Wanted], rows: list[Row]) -> None:
    billed = sum((Decimal(row["total"]) for row in rows if row["kind"] == "invoice"), Decimal(0))
    paid = sum((Decimal(row["amount"]) for row in rows if row["kind"] == "payment"), Decimal(0))
    expected = sum((Decimal(order.totals[-1]) for order in want.values()), Decimal(0))
    received = sum((Decimal(amount) for order in want.values() for amount in order.payments), Decimal(0))
    verdict.counts[f"{ledger}.billed"], verdict.counts[f"{ledger}.paid"] = str(billed), str(paid)
    for name, have, should in (("billed", billed, expected), ("paid", paid, received)):
        if have != should:
            verdict.wrong.append(f"{ledger}: {have} is {name} in all instead of {should}.")


def _ever(verdict: Verdict, ledger: str, want: Mapping[str, Wanted], history: list[Row]) -> None:
    """Look at every state that a document was ever in: versions go forward, money comes last, nothing was undone."""
    ids: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    version: dict[str, int] = {}
    for row in history:
        order = want.get(key_in(row))
        if order is None or row["kind"] not in _MONEY:
            continue
        ids[order.key, row["kind"]].add(str(row["id"]))
        if row["kind"] == "invoice":
            _forward(verdict, ledger, order, row, version)
        elif row["kind"] == "payment" and version.get(order.key, -1) + 1 != len(order.totals):
            verdict.disorder.append(f"{ledger}: order {order.order} was paid before its last version was billed.")
    verdict.counts[f"{ledger}.changes"] = len(history)
    for (key, kind), made in ids.items():
        allowed = len(want[key].payments) if kind == "payment" else 1
        if len(made) > allowed:
            verdict.doubled.append(f"{ledger}: order {want[key].order} ever had {len(made)} of {kind}.")


def _forward(verdict: Verdict, ledger: str, order: Wanted, row: Row, version: dict[str, int]) -> None:
    totals = [Decimal(total) for total in order.totals]
    shown = Decimal(row["total"])
    number = totals.index(shown) if shown in totals else -1
    if number < version.get(order.key, 0):
        verdict.disorder.append(f"{ledger}: order {order.order} showed {shown} after version {version.get(order.key)}.")
    version[order.key] = max(number, version.get(order.key, 0))


def read(folder: Path) -> Verdict:
    """Check what a run left in *folder*: sent.jsonl, books-<ledger>.jsonl, history-<ledger>.jsonl."""
    ledgers = sorted(path.stem.removeprefix("books-") for path in folder.glob("books-*.jsonl"))
    books = {ledger: _lines(folder / f"books-{ledger}.jsonl") for ledger in ledgers}
    histories = {ledger: _lines(folder / f"history-{ledger}.jsonl") for ledger in ledgers}
    return check(_lines(folder / "sent.jsonl"), books, histories)


def _lines(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    verdict = read(Path(sys.argv[1]))
    sys.stdout.write(json.dumps({"clean": verdict.clean, **asdict(verdict)}, indent=1) + "\n")
    sys.exit(0 if verdict.clean else 1)
