"""QuickBooks Online: webhooks name records, the record is read; change data capture finds what they missed."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from app.core.talk import Talk
from schemas.events import Hint
from schemas.platforms.quickbooks_online import PAGE
from schemas.platforms.quickbooks_online.query import select
from schemas.platforms.quickbooks_online.webhooks import WEBHOOKS
from streams.sources.base import Hook, Identity, Setup
from streams.sources.platforms.quickbooks_online.holding import (
    account_offers,
    home_offer,
    missing_accounts,
    missing_taxes,
    tax_offer,
    wrong_home,
)
from streams.sources.platforms.quickbooks_online.notices import notices
from streams.sources.platforms.quickbooks_online.replies import success
from streams.sources.platforms.quickbooks_online.sweeping import Sweeping


class QuickBooksSource(Sweeping):
    """Both webhook forms are thin; a deleted record shows only in CDC or as error 610."""

    webhooks = WEBHOOKS

    # ------------------------------------------------------------------------------------------- webhooks

    def verify(self, hook: Hook, secrets: Sequence[str], now: datetime) -> bool:
        """Compare with HMAC-SHA256 of the raw body under any verifier token, in base64; there is no time in it."""
        del now
        given = hook.headers.get("intuit-signature", "").encode()
        wanted = [base64.b64encode(hmac.digest(token.encode(), hook.body, "sha256")) for token in secrets]
        return any([hmac.compare_digest(given, want) for want in wanted])  # noqa: C419 - constant time

    @classmethod
    def accounts(cls, hook: Hook) -> frozenset[str]:
        """Return the realms that a delivery speaks of."""
        return frozenset(realm for realm, *_ in notices(hook.body))

    def hints(self, hook: Hook) -> list[Hint]:
        """Return what changed in this realm; a merge speaks of the customer that stays and of the one that went."""
        return [
            Hint(
                tenant=self.connection.tenant,
                object=self.ref(notice.entity, notice.id),
                reason=notice.reason,
                hinted_at=notice.at,
            )
            for notice in notices(hook.body)
            if notice.realm == self.connection.account
        ]

    def identify(self) -> Talk[Identity]:
        """Read the company and its preferences; a token of another company is refused for this realm."""
        account = self.connection.account
        reply = yield self.asking(f"companyinfo/{account}")
        info = success(reply)["CompanyInfo"]
        reply = yield self.asking("preferences")
        preferences = success(reply)["Preferences"]
        currency = preferences.get("CurrencyPrefs", {})
        home = currency.get("HomeCurrency", {}).get("value", "")
        missing = []
        if not currency.get("MultiCurrencyEnabled"):
            missing.append(
                f"Multi-currency is switched off: only documents in {home or 'the home currency'} can be written."
            )
        own = preferences.get("SalesFormsPrefs", {}).get("CustomTxnNumbers")
        if self.connection.options.get("numbers") == "order" and not own:
            missing.append("Custom transaction numbers are switched off, but the option numbers = 'order' needs them.")
        return Identity(
            account=account,
            name=info.get("CompanyName", ""),
            home_currency=home,
            currencies=() if currency.get("MultiCurrencyEnabled") else (home,),
            lock_date=preferences.get("AccountingInfoPrefs", {}).get("BookCloseDate", ""),
            time_zone=info.get("DefaultTimeZone", ""),
            missing=(*missing, *wrong_home(self.connection, home)),
            offers=home_offer(self.connection, home),
        )

    def setup(self) -> Talk[Setup]:
        """Look whether the accounts and tax codes in use exist, and which there are."""
        reply = yield self.asking(f"companyinfo/{self.connection.account}")
        country = str(success(reply)["CompanyInfo"].get("Country") or "US")
        accounts = yield from self._active("Account")
        codes = yield from self._active("TaxCode")
        rates = yield from self._active("TaxRate")
        missing = *missing_accounts(self.connection, accounts), *missing_taxes(self.connection, country, codes)
        offers = {**account_offers(accounts), **tax_offer(country, codes, rates)}
        return Setup(missing=dict(missing), offers=offers)

    def _active(self, entity: str) -> Talk[list[dict[str, Any]]]:
        rows: list[dict[str, Any]] = []
        while len(rows) % PAGE == 0:
            reply = yield self.asking("query", query=select(entity, "Active = true", len(rows) + 1))
            page = success(reply)["QueryResponse"].get(entity, [])
            if not page:
                break
            rows += page
        return rows
