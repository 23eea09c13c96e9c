"""The checker of the fault matrix finds each kind of thing that it is there to find, in any of the four logs."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.chaos.checker import Verdict, check, check_papers, check_topics, compare_replayed, order_key, wanted
from tests.chaos.company import ACCOUNTS
from tests.chaos.load import TENANT, order_event, payment_event
from tests.chaos.sales import Sale, _told, sale

Rows = list[dict[str, Any]]


def by_kind(kind: str) -> Sale:
    order = next(one for one in map(sale, range(20)) if one.kind == kind)
    order.made = "" if order.from_erp else f"{kind}-1"
    return order


ERP, EDITED, SHOP, DEAL = (by_kind(kind) for kind in ("erp", "edited", "shop", "deal"))
ORDERS = (ERP, EDITED, SHOP, DEAL)


def document(order: Sale, system: str) -> dict[str, Any]:
    total = f"{order.last:.2f}"
    kind = "order" if system in {"shop", "crm"} else "invoice"
    own = system == order.giver
    row = {"kind": kind, "id": order.made if own else f"{system}-{order.id}", "total": total, "date": "2026-03-01"}
    row |= {"status": "open" if system == "crm" else "paid", "number": f"{system}-{order.number}", "paid": total}
    return row if own else {**row, "mark": f"o2c1:{order.key}:{'a' * 12}"}


def payment(order: Sale, system: str) -> dict[str, Any]:
    parent = "order_id" if system in {"shop", "crm"} else "invoice_id"
    row = {"kind": "payment", "id": f"{system}-{order.id}-P", "amount": f"{order.last:.2f}", "status": "paid"}
    return {**row, parent: document(order, system)["id"], "mark": f"o2c1:{order.key}:{'b' * 12}", "date": "2026-03-02"}


class Run:
    """Four orders that went well, one of each kind, in all four logs."""

    def __init__(self) -> None:
        self.sent: Rows = []
        self.books: dict[str, Rows] = {name: [] for name in ACCOUNTS}
        self.closed = {"books": "2026-01-31"}
        for order in ORDERS:
            self._take(order)
        self.accepted = [row for row in self.sent if row["kind"] == "order" or row["connection"] != "crm"]
        self.events = [self._event(order, number + 1) for order in ORDERS for number in range(order.versions)]
        self.events += [self._money(order) for order in (ERP, EDITED)]
        self.events += [copy.deepcopy(self.events[0])]
        self.states = {
            one.key: {"payable_amount": str(one.last), "paid_amount": str(one.last), "financial": "paid"}
            for one in ORDERS
        }
        self.dead: list[str] = []
        self.replayed = copy.deepcopy(self.books)
        self.histories = copy.deepcopy(self.books)

    def _take(self, order: Sale) -> None:
        if order.from_erp:
            versions = [order_event(order, number + 1) for number in range(order.versions)]
            self.sent += [_told(event) for event in (*versions, payment_event(order))]
        else:
            self.sent += [order.row("order"), order.row("payment")]
        for system in order.systems:
            self.books[system].append(document(order, system))
            if not (order.kind == "deal" and system == "crm"):
                self.books[system].append(payment(order, system))

    def _event(self, order: Sale, version: int) -> dict[str, Any]:
        account = order.giver if order.from_erp else ACCOUNTS[order.giver]
        ref = {"connection": order.giver, "account": account, "type": order.type, "id": order.made or order.id}
        facts = {"type": "order", "payable_amount": str(order.total(version))}
        name = f"{order.id}-{version}"
        return {
            "id": name,
            "tenant": TENANT,
            "object": ref,
            "version": {"native": version},
            "facts": facts,
            "anchors": [],
        }

    def _money(self, order: Sale) -> dict[str, Any]:
        event = self._event(order, 1)
        own = {**event["object"], "type": "payment", "id": f"{order.id}-P"}
        facts = {"type": "payment", "amount": str(order.last)}
        return {
            **event,
            "id": f"{order.id}-P-1",
            "object": own,
            "facts": facts,
            "anchors": [{"kind": "order", "ref": event["object"]}],
        }

    def verdict(self) -> Verdict:
        verdict = check(self.sent, self.books, self.histories)
        check_topics(verdict, wanted(self.sent), self.accepted, self.events, self.dead, self.states)
        for system, rows in self.books.items():
            check_papers(verdict, system, rows, self.closed.get(system, ""))
            compare_replayed(verdict, system, rows, self.replayed[system])
        return verdict

    def find(self, system: str, order: Sale, kind: str) -> dict[str, Any]:
        made = payment(order, system) if kind == "payment" else document(order, system)
        return next(row for row in self.books[system] if (row["kind"], row["id"]) == (kind, made["id"]))


def test_a_run_that_went_well_is_clean() -> None:
    verdict = Run().verdict()
    assert verdict.clean, verdict
    assert (verdict.counts["orders"], verdict.counts["accepted"]) == (4, 9)


def test_keys_are_computed_from_what_was_made_where() -> None:
    assert DEAL.key == order_key(TENANT, "crm", ACCOUNTS["crm"], "deals", "deal-1")
    assert SHOP.key == order_key(TENANT, "shop", ACCOUNTS["shop"], "order", "shop-1")


def lose_a_deal(run: Run) -> None:
    run.books["crm"].remove(run.find("crm", ERP, "order"))


def lose_money_in_the_shop(run: Run) -> None:
    run.books["shop"].remove(run.find("shop", ERP, "payment"))


def lose_a_stripe_payment(run: Run) -> None:
    run.books["pay"].remove(run.find("pay", ERP, "payment"))


def lose_an_accepted_event(run: Run) -> None:
    run.events = [event for event in run.events if event["id"] != f"{EDITED.id}-2"]


def lose_a_webhook(run: Run) -> None:
    run.events = [event for event in run.events if event["object"]["id"] != "deal-1"]


def double_a_shop_order(run: Run) -> None:
    run.books["shop"].append({**run.find("shop", ERP, "order"), "id": "again", "mark": f"o2c1:{ERP.key}:{'c' * 12}"})


def double_the_copy_of_an_own_order(run: Run) -> None:
    run.books["crm"].append({**run.find("crm", SHOP, "order"), "id": "again"})


def double_a_number(run: Run) -> None:
    run.find("books", ERP, "invoice")["number"] = run.find("books", EDITED, "invoice")["number"]


def double_and_remove_in_the_crm(run: Run) -> None:
    run.histories["crm"].insert(0, {**run.find("crm", ERP, "order"), "id": "gone"})


def keep_an_old_version_in_the_crm(run: Run) -> None:
    run.find("crm", EDITED, "order")["total"] = f"{EDITED.total(1):.2f}"


def write_into_a_closed_period(run: Run) -> None:
    run.find("books", ERP, "invoice")["date"] = "2026-01-31"


def fold_to_another_total(run: Run) -> None:
    next(one for one in run.events if one["id"] == f"{EDITED.id}-3")["version"] = {"native": 0}


def show_another_state(run: Run) -> None:
    run.states[DEAL.key]["paid_amount"] = "0"


def forget_a_state(run: Run) -> None:
    del run.states[SHOP.key]


def go_back_a_version_in_the_crm(run: Run) -> None:
    row = run.find("crm", EDITED, "order")
    run.histories["crm"] += [{**row, "total": f"{EDITED.total(number):.2f}"} for number in (2, 3)]


def change_by_a_replay(run: Run) -> None:
    run.replayed["qbo"].append({**run.find("qbo", ERP, "invoice"), "id": "again"})


def revise_by_a_replay(run: Run) -> None:
    run.replayed["qbo"][0]["note"] = "written again"


def hold_what_nobody_sent(run: Run) -> None:
    run.books["crm"].append({**run.find("crm", ERP, "order"), "id": "stranger", "mark": ""})


@pytest.mark.parametrize(
    ("falsify", "name"),
    [
        (lose_a_deal, "lost"),
        (lose_money_in_the_shop, "lost"),
        (lose_a_stripe_payment, "lost"),
        (lose_an_accepted_event, "lost"),
        (lose_a_webhook, "lost"),
        (double_a_shop_order, "doubled"),
        (double_the_copy_of_an_own_order, "doubled"),
        (double_a_number, "doubled"),
        (double_and_remove_in_the_crm, "doubled"),
        (keep_an_old_version_in_the_crm, "wrong"),
        (write_into_a_closed_period, "wrong"),
        (fold_to_another_total, "wrong"),
        (show_another_state, "wrong"),
        (forget_a_state, "wrong"),
        (go_back_a_version_in_the_crm, "disorder"),
        (change_by_a_replay, "changed"),
        (revise_by_a_replay, "changed"),
        (hold_what_nobody_sent, "strangers"),
    ],
)
def test_what_went_wrong_is_found_under_its_name(falsify: Callable[[Run], None], name: str) -> None:
    run = Run()
    falsify(run)
    verdict = run.verdict()
    assert getattr(verdict, name), verdict
    assert not verdict.clean


def test_what_is_in_the_dead_letters_is_not_lost() -> None:
    run = Run()
    run.events = [event for event in run.events if event["id"] != f"{EDITED.id}-2"]
    run.dead = [f"reason: unreadable; ce_id: {EDITED.id}-2"]
    assert run.verdict().lost == []
