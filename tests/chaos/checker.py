"""Says whether anything was lost, doubled or taken out of order: from four logs of a run alone.

What the fake sources sent, what was accepted, the events on the topics, and the documents that each platform holds and
ever held. Imports nothing of the project, so that it cannot share its mistakes; the order key is computed from the
published rule. Run by itself on what a run left: `python -m tests.chaos.checker FOLDER`.
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
_BILLS = ("invoice", "sales_receipt")
_MONEY = ("order", *_BILLS, "payment", "credit", "refund")
_HEADS = {"shop": "order", "crm": "order"}
"""Systems in which an order is no bill but an order of their own."""
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
    systems: tuple[str, ...]
    """Where it is wanted, with its money."""
    own: dict[str, str] = field(default_factory=dict)
    """System where people made it -> its id there: it carries no mark of ours."""
    unpaid: tuple[str, ...] = ()
    """Systems that are not told of its money."""
    totals: list[str] = field(default_factory=list)
    """By version, oldest first."""
    payments: list[str] = field(default_factory=list)

    def paid_in(self, system: str) -> list[str]:
        """Return the payments that *system* is to show."""
        return [] if system in self.unpaid else self.payments


@dataclass
class Verdict:
    """One sentence per finding, and how much was compared."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    disorder: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)
    early: list[str] = field(default_factory=list)
    """Offsets committed past work that was not finished."""
    changed: list[str] = field(default_factory=list)
    """What a second replay of everything changed."""
    counts: dict[str, Any] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        """Tell whether nothing was found."""
        found = (self.lost, self.doubled, self.wrong, self.disorder, self.strangers, self.early, self.changed)
        return not any(found)


def wanted(sent: Iterable[Row]) -> dict[str, Wanted]:
    """Return order key -> what was sent of it; an event sent twice is one event."""
    found: dict[str, Wanted] = {}
    seen: set[str] = set()
    for row in sent:
        if row["event"] in seen:
            continue
        seen.add(row["event"])
        type_, id_ = row.get("type", "order"), row.get("object", row["order"])
        key = order_key(row["tenant"], row["connection"], row["account"], type_, id_)
        systems = tuple(row.get("systems") or [row["ledger"]])
        own = {row["own"]: id_} if row.get("own") else {}
        order = found.setdefault(key, Wanted(row["order"], key, systems, own, tuple(row.get("unpaid", ()))))
        (order.totals if row["kind"] == "order" else order.payments).append(row["amount"])
    return found


def check(sent: Iterable[Row], books: Mapping[str, Iterable[Row]], histories: Mapping[str, Iterable[Row]]) -> Verdict:
    """Compare what was sent with what each ledger holds (*books*) and ever held (*histories*, in order)."""
    want = wanted(sent)
    verdict = Verdict()
    for ledger, rows in books.items():
        mine = {key: order for key, order in want.items() if ledger in order.systems}
        _ledger(verdict, ledger, mine, list(rows), list(histories[ledger]))
    verdict.counts["orders"] = len(want)
    verdict.counts["versions"] = sum(len(order.totals) for order in want.values())
    verdict.counts["payments"] = sum(len(order.payments) for order in want.values())
    return verdict


def _ledger(verdict: Verdict, ledger: str, want: Mapping[str, Wanted], rows: list[Row], history: list[Row]) -> None:
    there = _by_order(rows, {order.own[ledger]: key for key, order in want.items() if ledger in order.own})
    for key, order in want.items():
        _compare(verdict, ledger, order, there.get(key, []))
    for key, found in there.items():
        if key not in want:
            verdict.strangers += [f"{ledger}: {row['kind']} {row['id']} belongs to nobody's order." for row in found]
    _customers(verdict, ledger, rows)
    _sums(verdict, ledger, want, rows)
    _ever(verdict, ledger, want, history)


def _by_order(rows: Iterable[Row], own: Mapping[str, str]) -> dict[str, list[Row]]:
    """Return order key ("" = none) -> its documents: by their mark, by what they belong to, or as people made them."""
    money = [row for row in rows if row["kind"] in _MONEY]
    heads = {str(row["id"]): _key(row, own) for row in money if row["kind"] in {*_BILLS, "order"}}
    found: defaultdict[str, list[Row]] = defaultdict(list)
    for row in money:
        parents = (str(row.get(name) or "") for name in ("invoice_id", "order_id"))
        found[_key(row, own) or next((heads[id_] for id_ in parents if id_ in heads), "")].append(row)
    return found


def _key(row: Row, own: Mapping[str, str]) -> str:
    return (own.get(str(row["id"]), "") if row["kind"] == "order" else "") or key_in(row)


def _compare(verdict: Verdict, system: str, order: Wanted, rows: list[Row]) -> None:
    what, head = f"{system}: order {order.order}", _HEADS.get(system)
    bills = [row for row in rows if row["kind"] in ({head} if head else _BILLS)]
    paid = sorted(Decimal(row["amount"]) for row in rows if row["kind"] == "payment" and row.get("status") != "void")
    sent = sorted(Decimal(amount) for amount in order.paid_in(system))
    _number(verdict, f"{what}: documents", len(bills), 1)
    _number(verdict, f"{what}: payments", len(paid), len(sent))
    if len(paid) == len(sent) and paid != sent:
        verdict.wrong.append(f"{what}: paid {paid} instead of {sent}.")
    status = "open" if system == "crm" else "paid"
    for row in bills:
        if row["status"] != status or Decimal(row["total"]) != Decimal(order.totals[-1]):
            verdict.wrong.append(f"{what}: {row['total']}, {row['status']}, instead of {order.totals[-1]}, {status}.")
    marks = [row["mark"] for row in rows if key_in(row)]
    if len(set(marks)) != len(marks):
        verdict.doubled.append(f"{what}: two documents carry one mark.")
    for row in rows:
        if row["kind"] in {"credit", "refund"} or row.get("status") in {"void", "cancelled"}:
            verdict.wrong.append(f"{what}: {row['kind']} {row['id']} ({row.get('status')}) was asked for by nobody.")


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
    head = _HEADS.get(ledger, "invoice")
    billed = sum((Decimal(row["total"]) for row in rows if row["kind"] == head), Decimal(0))
    paid = sum((Decimal(row["amount"]) for row in rows if row["kind"] == "payment"), Decimal(0))
    expected = sum((Decimal(order.totals[-1]) for order in want.values()), Decimal(0))
    received = sum((Decimal(amount) for order in want.values() for amount in order.paid_in(ledger)), Decimal(0))
    verdict.counts[f"{ledger}.billed"], verdict.counts[f"{ledger}.paid"] = str(billed), str(paid)
    for name, have, should in (("billed", billed, expected), ("paid", paid, received)):
        if have != should:
            verdict.wrong.append(f"{ledger}: {have} is {name} in all instead of {should}.")


def check_papers(verdict: Verdict, ledger: str, rows: Iterable[Row], closed: str = "") -> None:
    """Look whether a number was used twice, and whether something is dated on or before the day *closed*."""
    numbers: set[str] = set()
    for row in rows:
        if row["kind"] in _BILLS and (number := str(row.get("number") or "")):
            if number in numbers:
                verdict.doubled.append(f"{ledger}: the number {number} was used twice.")
            numbers.add(number)
        if closed and row["kind"] in _MONEY and str(row.get("date") or "9999")[:10] <= closed:
            verdict.wrong.append(f"{ledger}: {row['kind']} {row['id']} of {row['date']} is in a closed period.")


def _ever(verdict: Verdict, ledger: str, want: Mapping[str, Wanted], history: list[Row]) -> None:
    """Look at every state that a document was ever in: versions go forward, money comes last, nothing was undone."""
    own = {order.own[ledger]: key for key, order in want.items() if ledger in order.own}
    ids: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    version: dict[str, int] = {}
    for row in history:
        order = want.get(_key(row, own))
        if order is None or row["kind"] not in _MONEY or row.get("status") == "draft" or not _amount(row):
            continue
        ids[order.key, row["kind"]].add(str(row["id"]))
        if row["kind"] == _HEADS.get(ledger, "invoice"):
            _forward(verdict, ledger, order, row, version)
        elif row["kind"] == "payment" and ledger not in _HEADS and version.get(order.key, -1) + 1 != len(order.totals):
            verdict.disorder.append(f"{ledger}: order {order.order} was paid before its last version was billed.")
    verdict.counts[f"{ledger}.changes"] = len(history)
    for (key, kind), made in ids.items():
        allowed = len(want[key].paid_in(ledger)) if kind == "payment" else 1
        if len(made) > allowed:
            verdict.doubled.append(f"{ledger}: order {want[key].order} ever had {len(made)} of {kind}.")


def _amount(row: Row) -> str:
    return str(row.get("total") or row.get("amount") or "")


def _forward(verdict: Verdict, ledger: str, order: Wanted, row: Row, version: dict[str, int]) -> None:
    totals = [Decimal(total) for total in order.totals]
    shown = Decimal(row["total"])
    number = totals.index(shown) if shown in totals else -1
    if number < version.get(order.key, 0):
        verdict.disorder.append(f"{ledger}: order {order.order} showed {shown} after version {version.get(order.key)}.")
    version[order.key] = max(number, version.get(order.key, 0))


def check_topics(
    verdict: Verdict,
    want: Mapping[str, Wanted],
    accepted: Iterable[Row],
    events: Iterable[Row],
    dead: Iterable[str],
    states: Mapping[str, Row],
) -> None:
    """Compare what was accepted with the topics, their fold with what was sent, and both with the public states.

    *dead* are the headers of dead letters, as text; *states* are keyed by order.
    """
    events, letters = list(events), "\n".join(dead)
    there, seen = {event["id"] for event in events}, {_ref(event["object"]) for event in events}
    verdict.counts["accepted"], verdict.counts["events"] = 0, len(events)
    for row in accepted:
        verdict.counts["accepted"] += 1
        found = (row["connection"], row["type"], row["object"]) in seen if row.get("own") else row["event"] in there
        if not found and row["event"] not in letters:
            verdict.lost.append(f"{row['event']} was accepted and is neither on a topic nor in the dead letters.")
    totals, money = _folded(events)
    for key, order in want.items():
        paid = sum((Decimal(amount) for amount in order.payments), Decimal(0))
        if not order.own and (totals.get(key), money.get(key, Decimal(0))) != (Decimal(order.totals[-1]), paid):
            verdict.wrong.append(f"topics: order {order.order} folds to {totals.get(key)}, {money.get(key)} paid.")
        state = states.get(key, {})
        shown = tuple(Decimal(state.get(name, "0")) for name in ("payable_amount", "paid_amount"))
        if shown != (Decimal(order.totals[-1]), paid) or state.get("financial") != "paid":
            verdict.wrong.append(f"order-states: order {order.order} shows {shown}, {state.get('financial')}.")


def _ref(ref: Row) -> tuple[str, str, str]:
    return ref["connection"], ref["type"], ref["id"]


def _folded(events: Iterable[Row]) -> tuple[dict[str, Decimal], dict[str, Decimal]]:
    """Return order key -> its total and -> its payments: of each object the newest version, however often it came."""
    newest: dict[tuple[str, str, str], Row] = {}
    for event in events:
        known = newest.get(_ref(event["object"]))
        if known is None or _native(event) > _native(known):
            newest[_ref(event["object"])] = event
    totals: dict[str, Decimal] = {}
    money: defaultdict[str, Decimal] = defaultdict(Decimal)
    for event in newest.values():
        ref, facts = event["object"], event["facts"] or {}
        if facts.get("type") == "order":
            key = order_key(event["tenant"], ref["connection"], ref["account"], ref["type"], ref["id"])
            totals[key] = Decimal(facts.get("payable_amount", "0"))
        elif facts.get("type") == "payment":
            for parent in [anchor["ref"] for anchor in event["anchors"] or () if anchor["kind"] == "order"]:
                key = order_key(event["tenant"], parent["connection"], parent["account"], parent["type"], parent["id"])
                money[key] += Decimal(facts["amount"])
    return totals, money


def _native(event: Row) -> int:
    return int((event["version"] or {}).get("native", 0))


def compare_replayed(verdict: Verdict, system: str, before: Iterable[Row], after: Iterable[Row]) -> None:
    """Look what playing everything a second time changed in the books of *system*: nothing may."""
    old, new = ({(row["kind"], str(row["id"])): row for row in rows} for rows in (before, after))
    for kind, id_ in sorted(old.keys() | new.keys()):
        if old.get((kind, id_)) != new.get((kind, id_)):
            verdict.changed.append(f"{system}: {kind} {id_} is another one after everything was played again.")


def read(folder: Path) -> Verdict:
    """Check what a run left in *folder*.

    sent.jsonl, and per system books-NAME.jsonl and history-NAME.jsonl; of a run of the fault matrix also
    accepted.jsonl, events.jsonl, states.jsonl, replayed-NAME.jsonl, and run.json with dead letters and early commits.
    """
    ledgers = sorted(path.stem.removeprefix("books-") for path in folder.glob("books-*.jsonl"))
    books = {ledger: _lines(folder / f"books-{ledger}.jsonl") for ledger in ledgers}
    histories = {ledger: _lines(folder / f"history-{ledger}.jsonl") for ledger in ledgers}
    sent = _lines(folder / "sent.jsonl")
    verdict = check(sent, books, histories)
    if (folder / "run.json").exists():
        run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        states = {row["key"]: row for row in _lines(folder / "states.jsonl")}
        accepted, events = _lines(folder / "accepted.jsonl"), _lines(folder / "events.jsonl")
        check_topics(verdict, wanted(sent), accepted, events, run["dead"], states)
        verdict.early += run["early"]
        for ledger in ledgers:
            check_papers(verdict, ledger, books[ledger], run["closed"].get(ledger, ""))
            compare_replayed(verdict, ledger, books[ledger], _lines(folder / f"replayed-{ledger}.jsonl"))
    return verdict


def _lines(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    verdict = read(Path(sys.argv[1]))
    sys.stdout.write(json.dumps({"clean": verdict.clean, **asdict(verdict)}, indent=1) + "\n")
    sys.exit(0 if verdict.clean else 1)
