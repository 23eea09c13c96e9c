"""One owned connection: its owner (writes), reader (reads) and everything they share."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import aiohttp
import msgspec
import structlog

from app import platforms
from app.config.model import ResolvedConnection
from app.connectors.account import Account
from app.connectors.bus import Bus, Headers, partition_of
from app.connectors.following import PLACE, Follower, way
from app.connectors.gauges import ConnectionGauges
from app.connectors.known import Known
from app.connectors.late import Planners
from app.connectors.lease import Lease
from app.connectors.ledger import ConnectionLedger
from app.connectors.reading import Cursor, Reader
from app.connectors.rechecking import CURSOR, Recheck, standing
from app.connectors.rows import Rows
from app.connectors.sending import Sending, http_of
from app.connectors.tokens import StoredTokens
from app.core import topics
from app.core.auth import Credential, Tokens, Vault
from app.core.ending import ended
from app.core.errors import AuthError
from app.core.faultpoints import around
from app.core.http import new_session
from app.core.limits import Limiter, abreast
from app.core.metrics import Metrics
from app.subscribing.keeping import Keeper, Kept, every
from app.subscribing.registering import Report
from schemas.broadcast import Fact
from schemas.commands import Command, Outcome
from schemas.events import Hint
from schemas.trace import trace_id
from sinks.delivery.circuit import Circuit
from sinks.delivery.inbox import Stored
from sinks.delivery.journal import Journal
from sinks.delivery.owner import Owner

log = structlog.get_logger(__name__)
_ENCODE = msgspec.json.Encoder().encode
_LATE = "A worker that had lost its orders to another one asked for it, behind what that one asked for."
_WATCH = 1.0
_TIDY_FIRST, _TIDY = 600.0, 6 * 3600.0
_DRAIN = 3.0
"""Seconds; below the lease, which is not renewed meanwhile."""


class Desk:
    """Starts as owner of a connection and stops when its partition goes elsewhere."""

    def __init__(
        self,
        resolved: ResolvedConnection,
        bus: Bus,
        vault: Vault,
        metrics: Metrics,
        lease: Lease | None = None,
        live: Callable[[str], bool] = lambda _flow: True,
        *,
        kept: Kept | None = None,
    ) -> None:
        """Nothing runs before `start`; without a *lease* the connection is ours until `stop`.

        *live* tells whether a flow may write, *kept* what a person registered.
        """
        self._kept = kept
        self._live = live
        self._lease = lease or Lease(math.inf, time.monotonic)
        self._circuit = Circuit(0)
        self.well = asyncio.Event()
        self._resolved, self._bus, self._metrics = resolved, bus, metrics
        self._connection = resolved.connection
        self._loaded = platforms.load(self._connection.platform)
        self._partition = partition_of(self._connection.name, bus.partitions)
        self._rows = Rows(bus, self._connection.name, time.time)
        self._tokens = StoredTokens(self._rows, vault, self._connection.name)
        self._account = Account(self._connection, self._loaded, bus)
        self._session: aiohttp.ClientSession | None = None
        self._renewed: Callable[[float], Awaitable[None]] | None = None
        """Waits for tokens that were asked for to be stored."""
        self._tasks: list[asyncio.Task[None]] = []
        self._owned = True
        self.owner: Owner | None = None
        self.reader: Reader | None = None
        self.identified = asyncio.Event()
        self._known = Known()
        self._planners = Planners(time.monotonic)
        self._gauges = ConnectionGauges(metrics, self._loaded.platform, self._connection)

    @property
    def name(self) -> str:
        """Return the connection's name."""
        return self._connection.name

    @property
    def partition(self) -> int:
        """Return the partition that makes its owner ours."""
        return self._partition

    @property
    def waiting(self) -> int:
        """Return how many commands are in the inbox."""
        return 0 if self.owner is None else len(self.owner.inbox)

    async def start(self) -> None:
        """Read what the last owner left, take the next epoch, and begin to work."""
        journal = Journal()
        await self._rows.begin(journal)
        epoch = self._rows.epoch
        self._circuit = Circuit(epoch)
        self._gauges.show_down(lambda: self._circuit.cause)
        sending = self._sending(await self._tokens.read())
        ledger = ConnectionLedger(self._bus, self._rows, self.name, self._known.note)
        owner = Owner(
            self._loaded.sink(self._connection),
            sending,
            ledger,
            epoch=epoch,
            now=time.time,
            journal=journal,
            circuit=self._circuit,
            owns=lambda: self._owned and self._lease.held(),
            concurrency=abreast(self._loaded.platform.limits, self._resolved.quota_share),
            settle=self._seconds("settle_seconds"),
            count=self._count,
            unseen=self._known.forget,
        )
        owner.live = self._live
        self.owner = owner
        for value in (await self._rows.left(topics.INBOX)).values():
            owner.restore(msgspec.json.decode(value, type=Stored))
        rows = await self._rows.left(topics.CURSORS)
        cursors = {name: msgspec.json.decode(value, type=Cursor) for name, value in rows.items()}
        last, place = cursors.pop(CURSOR, None), cursors.pop(PLACE, None)
        self.reader = self._new_reader(sending, owner, epoch, cursors)
        if self.reader.sweeps:
            self._gauges.show("complete_up_to_age", self.reader.age)
        recheck, follower = self._recheck(self.reader, last), self._follower(self.reader, place)
        self._tasks = [asyncio.create_task(self._work(sending, owner, self.reader, recheck, follower))]

    def _seconds(self, option: str) -> float | None:
        found = self._connection.options.get(option)
        return None if found is None else float(found)

    def _sending(self, tokens: Tokens | None) -> Sending:
        platform, resolved = self._loaded.platform, self._resolved
        timeout = self._seconds("timeout_seconds") or platform.limits.timeout_seconds
        self._session = new_session(allow_private=resolved.allow_private, timeout=timeout)
        http = http_of(resolved, platform, self._session)
        credential = Credential(
            platform.proof(self._connection.options),
            resolved.secrets,
            http,
            clock=time.time,
            store=self._tokens.keep,
            tokens=tokens,
            stored=self._tokens.newer,
        )
        limiter = Limiter(platform.limits, time.monotonic, resolved.quota_share)
        self._credential, self._renewed = credential, credential.settled
        self._gauges.show_quota(limiter)
        return Sending(self._connection, platform, http, credential, limiter, heard=self._heard)

    def _heard(self, failure: str) -> None:
        """Count an answer of the platform, or a call that got none."""
        if not failure:
            self._circuit.answered()
        elif self._circuit.failed(failure, time.time()):
            log.warning("circuit.open", connection=self.name, why=failure, outage=self._circuit.number)

    def _new_reader(self, sending: Sending, owner: Owner, epoch: int, cursors: dict[str, Cursor]) -> Reader:
        def number() -> int:
            return owner.answers.next_look()

        return Reader(
            self._loaded.source(self._connection),
            sending,
            lambda event: self._bus.publish_event(event, self._loaded.platform),
            epoch=epoch,
            number=number,
            keep_cursor=self._keep_cursor,
            cursors=cursors,
            failed=self._auth_failed,
            well=self.well,
            known=self._known,
            put_aside=self._put_aside,
            echo=lambda source: self._metrics.echoes.labels(source, self.name).inc(),
        )

    async def _keep_cursor(self, name: str, cursor: Cursor) -> None:
        async with around("cursor", self.name):
            await self._rows.put(topics.CURSORS, name, _ENCODE(cursor))

    def _recheck(self, reader: Reader, cursor: Cursor | None) -> Recheck:
        return Recheck(
            self._connection,
            lambda whole: standing(self._bus.records(topics.ORDER_STATES), self._connection, whole=whole),
            reader.read_all,
            keep_cursor=self._keep_cursor,
            cursor=cursor,
            seconds=self._resolved.recheck_seconds,
            well=self.well,
        )

    def _follower(self, reader: Reader, place: Cursor | None) -> Follower | None:
        """Return who follows the vendor's journal, None where webhooks tell."""
        source = self._loaded.source(self._connection)
        if (journal := source.follows) is None or self._session is None:
            return None
        return Follower(
            source,
            way(self._resolved, self._loaded.platform, journal, self._session),
            reader.want,
            keep_cursor=self._keep_cursor,
            cursor=place,
            seconds=journal.seconds,
            look_seconds=every(self._resolved, source.webhooks),
            well=self.well,
            missing=self._show_missing,
        )

    async def _put_aside(self, hint: Hint, why: str) -> None:
        key = hint.object.connection.encode()
        await self._bus.dead_letter(key, _ENCODE(hint), reason="unreadable", detail=why, origin=topics.HINTS)

    def _auth_failed(self, error: AuthError) -> None:
        if self.owner is not None:
            self.owner.stop_writing(str(error))

    def _count(self, command: Command, outcome: Outcome) -> None:
        """Count a result that Kafka acknowledged, and how long its change was under way."""
        self._metrics.writes.labels(self._connection.platform, self.name, command.capability, outcome).inc()
        if outcome == "confirmed" and command.told_at is not None:
            self._metrics.end_to_end.observe(max(0.0, time.time() - command.told_at.timestamp()))
        what = {"connection": self.name, "capability": command.capability, "outcome": outcome}
        log.info("write", **what, command=command.id, order=command.order, trace_id=trace_id(command.trace))

    def _keeper(self, kept: Kept, sending: Sending) -> Keeper:
        return Keeper(
            kept.registrar(sending),
            kept.address,
            seconds=every(self._resolved, self._loaded.source.webhooks),
            well=self.well,
            shown=self._show_webhooks,
        )

    def _show_webhooks(self, report: Report | None) -> None:
        if report is None:
            self._gauges.hide("webhooks_missing")
            return
        if report.standing is not None:  # else the platform did not answer, and what is known stays
            self._show_missing(len(report.standing.missing))
        self._metrics.webhooks_mended.labels(self.name).inc(len(report.changes))

    def _show_missing(self, topics: int) -> None:
        self._gauges.show("webhooks_missing", lambda: float(topics))

    async def _work(
        self, sending: Sending, owner: Owner, reader: Reader, recheck: Recheck, follower: Follower | None
    ) -> None:
        """Verify the account first; then begin to write, read and watch."""
        if wrong := await self._account.verify(sending):
            owner.stop_writing(*wrong)
        else:
            await self._well(owner)
        if not self._owned:  # given up meanwhile, and the cancellation that said so was lost
            return
        works: list[Coroutine[Any, Any, None]] = [
            owner.run(),
            reader.run(),
            reader.sweep_forever(self._resolved.sweep_seconds),
            recheck.run(),
            self._tidy(owner),
            self._watch(sending, owner),
        ]
        reader.blind = recheck.everything
        if follower is not None:
            reader.silent = follower.look
            works.append(follower.run())
        elif self._kept is not None:
            keeper = self._keeper(self._kept, sending)
            reader.silent = keeper.renew
            works.append(keeper.run())
        self._tasks += [asyncio.create_task(work) for work in works]

    async def _watch(self, sending: Sending, owner: Owner) -> None:
        """Ask a dead connection whether it is back, and say so; look at the account again after each new token."""
        seen = self._credential.access
        while True:
            await asyncio.sleep(_WATCH)
            self._show_expiry()
            if self._circuit.is_open:
                self.well.clear()
                if time.time() >= self._circuit.retry_at:
                    await self._ask_again(sending, owner)
            elif self._credential.access != seen:
                seen = self._credential.access
                if wrong := await self._account.verify(sending):
                    owner.stop_writing(*wrong)

    async def _tidy(self, owner: Owner) -> None:
        """Drop outdated journal rows, a while after the start and then every few hours."""
        await asyncio.sleep(_TIDY_FIRST)
        while True:
            if dropped := await owner.tidy():
                log.info("journal.tidied", connection=self.name, rows=dropped)
            await asyncio.sleep(_TIDY)

    async def _ask_again(self, sending: Sending, owner: Owner) -> None:
        if (tokens := await self._tokens.newer()) is not None:
            self._credential.adopt(tokens)
        if wrong := await self._account.verify(sending):
            self._circuit.still(wrong.why, time.time(), wrong.cause)
        else:
            await self._well(owner)

    async def _well(self, owner: Owner) -> None:
        """Begin, or begin again: what was deferred up to now is planned afresh."""
        await self._account.begin()
        number = owner.go_on()
        self.well.set()
        self.identified.set()
        await self._bus.broadcast(Fact(kind="up", subject=self.name, epoch=self._rows.epoch, number=number))
        log.info("connection.up", connection=self.name, outage=number)

    def _show_expiry(self) -> None:
        if (seconds := self._credential.expires_in) is not None:
            end = time.time() + seconds
            self._gauges.show("token_expiry", lambda: end - time.time())

    async def accept(self, command: Command, sent_at: float, headers: Headers = ()) -> None:
        """Take a command from the topic, written there at *sent_at* (seconds); durable when this returns.

        Called in the order of the topic: *headers* tell whether whoever planned it had a successor by then.
        """
        if self.owner is None:
            return
        if self._planners.is_late(headers):
            log.warning("command.late", connection=self.name, command=command.id, order=command.order)
            await self.owner.answers.give(command, "superseded", _LATE)
        elif command.account != self._connection.account:
            reason = f"{self.name} belongs to account {self._connection.account}, the command is for {command.account}."
            await self.owner.answers.give(command, "rejected", reason)
        else:
            await self.owner.accept(command, sent_at)

    def pause(self, *, paused: bool) -> None:
        """Hold every write of this connection, or let them go again."""
        if self.owner is not None:
            self.owner.pause(paused=paused)

    def flow_changed(self, flow: str) -> None:
        """Hold what waits of a flow, or have it planned afresh: whether it may write has changed."""
        if self.owner is not None:
            self.owner.flow_changed(flow)

    @property
    def stopped(self) -> str:
        """Return why nothing is written now, "" while all is well."""
        return self._circuit.reason

    def want(self, hint: Hint, read: Callable[[], None]) -> None:
        """Take a hint; *read* is called once its object was read."""
        if self.reader is not None:
            self.reader.want(hint, read)

    async def stop(self) -> None:
        """Let calls in flight end, cancel the rest; what was sent and not answered is settled by the next owner."""
        if self.owner is not None:
            await self.owner.drain(_DRAIN)
        self._owned = False
        self._gauges.close()
        await ended(self._tasks)
        if self._renewed is not None:
            await self._renewed(_DRAIN)
        if self._session is not None:
            await self._session.close()

    def failure(self) -> BaseException | None:
        """Return what ended the work of this connection, None while it goes on."""
        for task in self._tasks:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                return error
        return None
