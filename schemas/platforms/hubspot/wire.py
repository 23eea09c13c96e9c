"""HubSpot records as they travel: all values are text, null is empty, amounts are major units."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from schemas.connection import Connection
from schemas.money import rounded
from schemas.platforms.hubspot.platform import MARK
from schemas.refs import find_mark


class Link(msgspec.Struct, frozen=True):
    """One association in a read."""

    id: str
    type: str = ""


class Links(msgspec.Struct, frozen=True):
    """The associations of one type."""

    results: tuple[Link, ...] = ()


class Record(msgspec.Struct, frozen=True, rename="camel"):
    """One CRM record of any type."""

    id: str
    properties: dict[str, str | None] = {}
    updated_at: datetime | None = None
    archived: bool = False
    associations: dict[str, Links] = {}

    def value(self, name: str) -> str:
        """Return a property, empty when it is null or was not asked for."""
        return self.properties.get(name) or ""

    def linked(self, kind: str) -> tuple[str, ...]:
        """Return the associated ids of *kind*; the API calls line_items "line items" here. Each id once."""
        found = self.associations.get(kind) or self.associations.get(kind.replace("_", " ")) or Links()
        return tuple(dict.fromkeys(link.id for link in found.results))


class Stage(msgspec.Struct, frozen=True):
    """One stage of a pipeline; metadata values are text."""

    id: str
    label: str = ""
    metadata: dict[str, str] = {}

    @property
    def closed(self) -> bool:
        """Tell whether deals in this stage are closed."""
        return self.metadata.get("isClosed") == "true"

    @property
    def won(self) -> bool:
        """Tell whether deals in this stage are won."""
        return self.closed and Decimal(self.metadata.get("probability") or 0) == 1


class Pipeline(msgspec.Struct, frozen=True):
    """One pipeline."""

    id: str
    label: str = ""
    stages: tuple[Stage, ...] = ()


class Parts(msgspec.Struct, frozen=True):
    """What lives apart from a record: its contact, its lines, its pipelines' stages by id, the portal's currency."""

    contact: Record | None = None
    lines: tuple[Record, ...] = ()
    stages: Mapping[str, Stage] = {}
    currency: str = ""


def pipelines(reply: Any) -> tuple[Pipeline, ...]:  # noqa: ANN401 - any JSON
    """Return the pipelines of a reply of GET /crm/v3/pipelines/{type}; msgspec.ValidationError when it is none."""
    return msgspec.convert(reply["results"], tuple[Pipeline, ...], strict=False)


def chosen(pipelines: Sequence[Pipeline], pipeline: str, wanted: str) -> Stage | None:
    """Return the stage by id, by label, or as the won, lost or first one of a pipeline with stages of its own."""
    stages = [stage for one in pipelines if not pipeline or one.id == pipeline for stage in one.stages]
    named = [stage for stage in stages if wanted == stage.id or wanted.lower() == stage.label.lower()]
    meant = {
        "closedwon": [stage for stage in stages if stage.won],
        "closedlost": [stage for stage in stages if stage.closed and not stage.won],
        "appointmentscheduled": [stage for stage in stages if not stage.closed],
    }
    return next(iter(named or meant.get(wanted, [])), None)


def record_of(value: Any) -> Record:  # noqa: ANN401 - any JSON
    """Return an API record; msgspec.ValidationError when it is none. Workflows post numbers where the API has text."""
    if isinstance(value, dict):
        held = value.get("properties")
        plain = {name: _text(one) for name, one in held.items()} if isinstance(held, dict) else {}
        value = {**value, "id": _text(value.get("id")), "properties": plain}
    return msgspec.convert(value, Record, strict=False)


def _text(value: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (int, Decimal)) else value


def instant(value: str) -> datetime | None:
    """Return an ISO time or epoch milliseconds as a time, None when empty."""
    if not value:
        return None
    if value.isdigit():
        return datetime.fromtimestamp(int(value) / 1000, UTC)
    at = datetime.fromisoformat(value)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def day(value: str) -> date | None:
    """Return a date property (a day, or midnight UTC in milliseconds)."""
    moment = instant(value)
    return moment.date() if moment else None


def amount(value: str, currency: str = "") -> Decimal | None:
    """Return a number as an amount of *currency*, None when empty; "2.0E4" occurs."""
    if not value:
        return None
    try:
        number = Decimal(value)
    except InvalidOperation as error:
        raise ValueError(f"{value!r} is no number") from error
    return rounded(number, currency) if currency else number


def modified(record: Record) -> datetime | None:
    """Return when the record changed: the property that searches sort by."""
    return instant(record.value("hs_lastmodifieddate") or record.value("lastmodifieddate")) or record.updated_at


def native(record: Record) -> int:
    """Return the record's version: epoch milliseconds of its last change."""
    at = modified(record)
    return round(at.timestamp() * 1000) if at else 0


def mark(record: Record) -> str | None:
    """Return our mark, None on records of other people."""
    return find_mark(record.value(MARK))


def lacks_currency(connection: Connection, kind: str, records: Iterable[Record]) -> bool:
    """Tell whether the portal must be asked for its currency: deals name none where it has one alone."""
    unnamed = kind == "deals" and not connection.options.get("currency")
    return unnamed and any(not record.value("deal_currency_code") for record in records)


def home_currency(account: Any) -> str:  # noqa: ANN401 - any JSON
    """Return the currency in a reply of GET /account-info/v3/details, "" where it has none."""
    return str(account.get("companyCurrency") or "") if isinstance(account, dict) else ""


def category(body: Any) -> str:  # noqa: ANN401 - any JSON
    """Return how an error body calls itself, "" for any other."""
    return str(body.get("category") or body.get("errorType") or "") if isinstance(body, dict) else ""
