"""How connections stand, from what Kafka holds and what running connectors show: pure. None = nobody knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from app.config.model import NO_ACCOUNT, ResolvedConnection
from app.connectors.reading import Cursor
from app.core.auth import Tokens
from schemas.platform import Auth

State = Literal["well", "paused", "stopped", "unknown"]
Credential = Literal["stored", "configured", "missing", "unreadable"]
_EVERYTHING = ("kafka", "group")
"""What a worker says of itself rather than of one connection."""


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What Kafka holds of all connections."""

    paused: frozenset[str] = frozenset()
    tokens: Mapping[str, Tokens | None] = {}
    """By connection; None where they were sealed under another key."""
    cursors: Mapping[str, Mapping[str, Cursor]] = {}
    waiting: Mapping[str, int] = {}


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """What one worker's status page shows."""

    owned: frozenset[int]
    """Partitions whose connections are this worker's."""
    wrong: Mapping[str, str]
    quota_left: Mapping[str, float]


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """One connection as it stands now."""

    connection: str
    tenant: str
    platform: str
    account: str | None
    """The configured one, None where none is."""
    connected_account: str | None
    """Whose the stored tokens are, None where nobody asked."""
    state: State
    why: str
    paused: bool
    credential: Credential
    access_expires_at: float | None
    """Seconds of the epoch; renewed by itself."""
    connect_again_by: float | None
    quota_left: int | None
    complete_up_to: datetime | None
    """Everything that changed before was seen."""
    waiting: int


def page_of(metrics: str, wrong: Mapping[str, str], inbox: str) -> Page:
    """Return what a worker shows; *inbox* is that topic's name."""
    owned: set[int] = set()
    quota: dict[str, float] = {}
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples:
            if sample.name == "o2c_lag" and sample.labels["topic"] == inbox:
                owned.add(int(sample.labels["partition"]))
            elif sample.name == "o2c_quota_left":
                quota[sample.labels["connection"]] = sample.value
    return Page(owned=frozenset(owned), wrong=wrong, quota_left=quota)


def standing(
    resolved: ResolvedConnection,
    auth: Auth,
    sweeps: Sequence[str],
    partition: int,
    held: Held,
    *,
    page: Page | None,
    address: str,
) -> Standing:
    """Return how a connection stands; *page* is None where the connectors did not answer at *address*."""
    connection = resolved.connection
    name = connection.name
    paused = name in held.paused
    state, why = _state(name, partition, page, address, paused=paused)
    tokens = held.tokens.get(name)
    mine = page if page is not None and partition in page.owned else None
    quota = mine.quota_left.get(name) if mine is not None else None
    return Standing(
        connection=name,
        tenant=connection.tenant,
        platform=connection.platform,
        account=None if connection.account == NO_ACCOUNT else connection.account,
        connected_account=tokens.account or None if tokens is not None else None,
        state=state,
        why=why,
        paused=paused,
        credential=_credential(resolved, auth, held),
        access_expires_at=tokens.expires_at or None if tokens is not None else None,
        connect_again_by=tokens.refresh_expires_at or None if tokens is not None else None,
        quota_left=None if quota is None else int(quota),
        complete_up_to=_complete(sweeps, held.cursors.get(name, {})),
        waiting=held.waiting.get(name, 0),
    )


def _state(name: str, partition: int, page: Page | None, address: str, *, paused: bool) -> tuple[State, str]:
    if page is not None and partition in page.owned:
        for subject in (name, *_EVERYTHING):
            if subject in page.wrong:
                return "stopped", page.wrong[subject]
        return ("paused", "A person paused it.") if paused else ("well", "")
    if paused:
        return "paused", "A person paused it."
    if page is None:
        return "unknown", f"The connectors do not answer at {address}."
    return "unknown", f"The worker at {address} does not own it."


def _credential(resolved: ResolvedConnection, auth: Auth, held: Held) -> Credential:
    given = {secret for secret, value in resolved.secrets.items() if value}
    name = resolved.connection.name
    if auth.secret in given or auth.kind in {"basic", "client_credentials"}:
        return "configured"
    if name in held.tokens:
        return "unreadable" if held.tokens[name] is None else "stored"
    return "configured" if "refresh_token" in given else "missing"


def _complete(sweeps: Sequence[str], cursors: Mapping[str, Cursor]) -> datetime | None:
    """Return up to when everything was seen: as far as the sweep that is behind the others."""
    marks = [cursors[name].complete_up_to if name in cursors else None for name in sweeps]
    known = [mark for mark in marks if mark is not None]
    return min(known) if known and len(known) == len(marks) else None
