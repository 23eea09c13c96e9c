"""Payments: what they close, what they leave unapplied, and how they let go again."""

from __future__ import annotations

from decimal import Decimal

from app.sandbox.platforms.quickbooks_online.refusals import Record, business, deposited, invalid_reference, missing
from app.sandbox.platforms.quickbooks_online.sales import (
    Settings,
    check_account,
    check_lengths,
    check_period,
    customer_of,
)
from app.sandbox.platforms.quickbooks_online.store import Store, number, plain, ref

_KEPT = (
    "CustomerRef",
    "TxnDate",
    "PrivateNote",
    "PaymentRefNum",
    "PaymentMethodRef",
    "DepositToAccountRef",
    "CurrencyRef",
    "ExchangeRate",
)
_DOCUMENTS = ("Invoice", "CreditMemo")


class Payments:
    """Builds a payment and moves the balances of what it is linked to."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self.store, self.settings = store, settings

    def build(self, body: Record, old: Record | None) -> Record:
        """Return the fields to store, checked; nothing is applied yet."""
        check_lengths(body)
        if "TotalAmt" not in body:
            raise missing("TotalAmt")
        customer = customer_of(self.store, self.settings, body)
        check_account(self.store, body)
        made = {name: body[name] for name in _KEPT if name in body}
        made.setdefault("TxnDate", self.store.clock().date().isoformat())
        check_period(self.settings, made["TxnDate"], *([old["TxnDate"]] if old else []))
        made["CustomerRef"] = {"value": customer["Id"], "name": customer["DisplayName"]}
        made["CurrencyRef"] = {"value": ref(customer, "CurrencyRef") or self.settings.home_currency}
        if self.settings.multi_currency:
            made.setdefault("ExchangeRate", 1)
        made["ProcessPayment"] = False
        made["LinkedTxn"] = (old or {}).get("LinkedTxn", [])
        made["Line"] = [self._line(line, customer["Id"], old) for line in body.get("Line") or []]
        self._balance(made, number(body["TotalAmt"], "TotalAmt"))
        return made

    def _balance(self, made: Record, total: Decimal) -> None:
        if total < 0:
            raise business("The payment amount must not be negative")
        used = sum((Decimal(line["Amount"]) * _sign(line) for line in made["Line"]), Decimal(0))
        if used > total:
            raise business("The amount applied is more than the payment")
        made["TotalAmt"], made["UnappliedAmt"] = plain(total), plain(total - used)

    def _line(self, line: Record, customer: str, old: Record | None) -> Record:
        if "Amount" not in line:
            raise missing("Line.Amount")
        amount, links = number(line["Amount"], "Line.Amount"), line.get("LinkedTxn") or []
        if len(links) != 1 or links[0].get("TxnType") not in _DOCUMENTS:
            raise missing("Line.LinkedTxn")
        kind, id_ = links[0]["TxnType"], str(links[0].get("TxnId") or "")
        document = self.store.rows[kind].get(id_)
        if document is None:
            raise invalid_reference("LinkedTxn", id_)
        if ref(document, "CustomerRef") != customer:
            raise business("The linked transaction belongs to another customer")
        free = Decimal(document["Balance"]) + _applied(old, kind, id_)
        if amount <= 0 or amount > free:
            raise business(f"The amount applied to {kind} {id_} is more than its open balance {free}")
        return {"Amount": plain(amount), "LinkedTxn": [{"TxnId": id_, "TxnType": kind}]}

    def apply(self, payment: Record) -> None:
        """Lower the balances of what *payment* is linked to, each with a new version."""
        self._move(payment, -1)

    def release(self, payment: Record) -> None:
        """Give the balances back."""
        if any(link["TxnType"] == "Deposit" for link in payment.get("LinkedTxn", ())):
            raise deposited()
        self._move(payment, 1)

    def _move(self, payment: Record, direction: int) -> None:
        for line in payment["Line"]:
            link = line["LinkedTxn"][0]
            document = self.store.rows[link["TxnType"]].get(link["TxnId"])
            if document is None:
                continue
            document["Balance"] = plain(Decimal(document["Balance"]) + direction * Decimal(line["Amount"]))
            if link["TxnType"] == "CreditMemo":
                document["RemainingCredit"] = document["Balance"]
            mine = {"TxnId": payment["Id"], "TxnType": "Payment"}
            others = [other for other in document.get("LinkedTxn", ()) if other != mine]
            document["LinkedTxn"] = [*others, mine] if direction < 0 else others
            self.store.commit(link["TxnType"], document)

    def forget(self, kind: str, document: Record) -> None:
        """Take a deleted or voided document out of the payments that were applied to it."""
        id_ = document["Id"]
        for link in document.get("LinkedTxn", ()):
            payment = self.store.rows["Payment"].get(link["TxnId"]) if link["TxnType"] == "Payment" else None
            if payment is None:
                continue
            kept = [line for line in payment["Line"] if line["LinkedTxn"][0] != {"TxnId": id_, "TxnType": kind}]
            if len(kept) != len(payment["Line"]):
                payment["Line"] = kept
                used = sum((Decimal(line["Amount"]) * _sign(line) for line in kept), Decimal(0))
                payment["UnappliedAmt"] = plain(max(Decimal(0), Decimal(payment["TotalAmt"]) - used))
                self.store.commit("Payment", payment)


def _sign(line: Record) -> int:
    return -1 if line["LinkedTxn"][0]["TxnType"] == "CreditMemo" else 1


def _applied(old: Record | None, kind: str, id_: str) -> Decimal:
    lines = (old or {}).get("Line", [])
    return sum(
        (Decimal(line["Amount"]) for line in lines if line["LinkedTxn"][0] == {"TxnId": id_, "TxnType": kind}),
        Decimal(0),
    )
