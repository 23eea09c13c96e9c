"""HubSpot's webhooks journal in conversation with the sandbox, held to the vendor's OpenAPI file."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import pytest

from app.core.errors import AuthError, DecodeError, RejectedError, RetryableError
from app.core.talk import Request, Response, Talk
from app.sandbox.platforms.hubspot import HubspotSandbox
from app.sandbox.platforms.hubspot.server import CLIENT
from schemas.connection import Connection
from schemas.events import GAP, MERGED_INTO, RECHECK
from schemas.facts import Order
from schemas.platforms.hubspot.journal import JOURNAL, journal_of
from streams.sources.base import Page
from streams.sources.platforms.hubspot import HubspotSource
from streams.sources.platforms.hubspot.entries import as_webhook
from streams.sources.subscribing import Subscription
from tests.platforms.conversation import answer
from tests.platforms.hubspot.spec import Spec

pytestmark = pytest.mark.sandbox
T = TypeVar("T")
PORTAL = "48975575"
FILE = "https://files.example.com/1.json?X-Signature=a%2Fb"
ENTRY = Response(
    status=200, body=f'{{"url": "{FILE}", "expiresAt": "2026-03-01T00:00:00Z", "currentOffset": "o1"}}'.encode()
)


def source(**options: str) -> HubspotSource:
    given = {"journal": "yes", "commerce": "yes", **options}
    return HubspotSource(Connection(name="crm", tenant="acme", platform="hubspot", account=PORTAL, options=given))


SOURCE = source()


class App:
    """Speaks with the journal as the connectors do; the vendor's files judge both sides."""

    def __init__(self, sandbox: HubspotSandbox, url: str, spec: Spec, session: aiohttp.ClientSession) -> None:
        self.sandbox, self._url, self._spec, self._session = sandbox, url, spec, session
        self.token = ""
        self.files: list[str] = []

    async def enter(self, scope: str = "", version: str = "2026-03") -> int:
        form = {"grant_type": "client_credentials", "client_id": CLIENT[0], "client_secret": CLIENT[1]}
        asked = journal_of(SOURCE.connection.options, "deals").auth.app_form["scope"]
        async with self._session.post(
            f"{self._url}/oauth/{version}/token", data={**form, "scope": scope or asked}
        ) as reply:
            self.token = (await reply.json()).get("access_token", "")
            return reply.status

    async def talk(self, talk: Talk[T]) -> T:
        try:
            request = next(talk)
            while True:
                request = talk.send(await self._sent(request))
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]  # StopIteration carries Any

    async def _sent(self, request: Request) -> Response:
        if request.bare:
            self.files.append(request.path)
            async with self._session.get(request.path) as reply:
                return Response(status=reply.status, body=await reply.read())
        body, _ = request.content()
        self._spec.check_request(request.method, request.path, body, dict(request.params))
        asked: Any = {
            "params": request.params,
            "data": body or None,
            "headers": {"Authorization": f"Bearer {self.token}"},
        }
        async with self._session.request(request.method, self._url + request.path, **asked) as reply:
            content = await reply.read()
        self._spec.check_reply(request.method, request.path, reply.status, content)
        return Response(status=reply.status, body=content)

    async def subscribe(self, to: HubspotSource = SOURCE) -> None:
        for wanted in to.journal_subscriber().wanted("", ()):
            await self.talk(to.journal_subscriber().create(wanted))

    async def pages(self, to: HubspotSource = SOURCE, cursor: str = "") -> list[Page]:
        """Return every entry from *cursor* on, and the page that says that there is none."""
        found = [await self.talk(to.entry(cursor))]
        while found[-1].more:
            found.append(await self.talk(to.entry(found[-1].cursor)))
        return found


@pytest.fixture
async def app(shared: Path) -> AsyncIterator[App]:
    sandbox = HubspotSandbox(quota_scale=100)
    url = await sandbox.start()
    async with aiohttp.ClientSession() as session:
        found = App(sandbox, url, Spec(shared / "specs" / "hubspot"), session)
        await found.enter()
        yield found
    await sandbox.stop()


# -- subscriptions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"commerce": "no"}, {"order_object": "orders", "po_property": "po"}, {}])
async def test_what_webhooks_would_tell_is_subscribed_to_once(app: App, options: dict[str, str]) -> None:
    subscriber = source(**options).journal_subscriber()
    wanted = subscriber.wanted("", ())
    assert await app.talk(subscriber.found()) == []
    for one in (*wanted, *wanted):
        await app.talk(subscriber.create(one))
    found = await app.talk(subscriber.found())
    assert {one.key: set(one.topics) for one in found} == {one.key: set(one.topics) for one in wanted}
    order = "OBJECT 0-123" if options.get("order_object") else "OBJECT 0-3"
    assert {order, "OBJECT 0-1", "OBJECT 0-8", "GDPR_PRIVACY_DELETION 0-1"} <= {one.key for one in found}
    assert ("OBJECT 0-53" in {one.key for one in found}) is (options.get("commerce") != "no")
    listed = {one.key: one.topics for one in found}[order]
    assert {"actions DELETE", "actions MERGE", "actions RESTORE"} <= set(listed)
    assert ("properties po" in listed) is ("po_property" in options)
    assert not any("lastmodifieddate" in topic or "o2c_" in topic for topic in listed)


async def test_what_is_missing_is_added_and_what_others_asked_for_stays(app: App) -> None:
    subscriber = SOURCE.journal_subscriber()
    wanted = {one.key: one for one in subscriber.wanted("", ())}["OBJECT 0-3"]
    await app.talk(
        subscriber.create(Subscription(key="OBJECT 0-3", topics=("actions CREATE", "properties city"), address=""))
    )
    (found,) = await app.talk(subscriber.found())
    await app.talk(subscriber.update(found, wanted))
    (now,) = await app.talk(subscriber.found())
    assert (now.id, set(now.topics)) == (found.id, {*wanted.topics, "properties city"})
    await app.talk(subscriber.delete(now, ()))
    await app.talk(subscriber.delete(now, ()))
    assert await app.talk(subscriber.found()) == []


def test_a_subscription_that_was_made_anew_takes_the_place_of_the_old_one() -> None:
    found = Subscription(key="OBJECT 0-3", id="7", topics=("actions CREATE",), address="")
    talk = SOURCE.journal_subscriber().update(found, found)
    requests, _ = answer(talk, Response(status=200, body=b'{"id": 8}'), Response(status=204))
    assert [(one.method, one.path.rpartition("/")[2]) for one in requests] == [("POST", "2026-03"), ("DELETE", "7")]


def test_subscriptions_of_other_portals_of_single_objects_and_ended_ones_do_not_count() -> None:
    row = '{"id": 1, "portalId": %s, "subscriptionType": "OBJECT", "objectTypeId": "0-3", "actions": ["CREATE"]%s}'
    rows = [
        row % (PORTAL, ""),
        row % ("1", ""),
        row % (PORTAL, ', "objectIds": [5]'),
        row % (PORTAL, ', "deletedAt": "x"'),
    ]
    reply = Response(status=200, body=f'{{"results": [{",".join(rows)}]}}'.encode())
    _, found = answer(SOURCE.journal_subscriber().found(), reply)
    assert [one.key for one in found] == ["OBJECT 0-3"]


@pytest.mark.parametrize("body", [b'{"results": [1]}', b"{}"])
def test_an_odd_list_is_told(body: bytes) -> None:
    with pytest.raises(DecodeError):
        answer(SOURCE.journal_subscriber().found(), Response(status=200, body=body))


def test_a_refused_subscription_names_itself_and_a_strange_answer_is_told() -> None:
    wanted = SOURCE.journal_subscriber().wanted("", ())[0]
    with pytest.raises(RejectedError, match=r"HubSpot answered 400: OBJECT 0-3\."):
        answer(SOURCE.journal_subscriber().create(wanted), Response(status=400, body=b"{}"))
    with pytest.raises(DecodeError):
        answer(SOURCE.journal_subscriber().create(wanted), Response(status=200, body=b"[]"))


# -- what is told ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("journal", ["yes", "app"])
async def test_what_people_do_is_told_and_then_nothing_is_new(app: App, journal: str) -> None:
    await app.subscribe()
    act = app.sandbox.verbs
    deal: Any = act["create_deal"]({"name": "Order 1", "amount": "5"})
    told = source(journal=journal)
    *entries, end = await app.pages(told)
    assert {hint.object.id for page in entries for hint in page.hints} >= {deal["id"]}
    assert (end.hints, end.more, end.cursor) == ((), False, entries[-1].cursor)
    assert await app.talk(told.entry(end.cursor)) == end
    app.sandbox.portal.archive(app.sandbox.portal.records["deals"][deal["id"]], "CRM_UI")
    (page, _) = await app.pages(told, end.cursor)
    assert [(hint.object.id, hint.reason) for hint in page.hints] == [(deal["id"], "object.deletion")]
    assert page.hints[0].hinted_at is not None
    assert page.hints[0].hinted_at.tzinfo is UTC
    assert all(url.startswith("http://localhost:") for url in app.files), "a file is on another host"


async def test_nothing_was_told_yet(app: App) -> None:
    await app.subscribe()
    assert await app.talk(SOURCE.entry("")) == Page()


async def test_the_other_journal_counts_by_itself(app: App) -> None:
    await app.subscribe()
    app.sandbox.verbs["create_deal"]({"name": "Order 1", "amount": "5"})
    *_, end = await app.pages()
    assert (await app.pages(source(journal="app"), end.cursor))[0].hints


async def test_a_forgotten_offset_begins_anew_and_tells_of_the_gap(app: App) -> None:
    await app.subscribe()
    act = app.sandbox.verbs
    act["create_deal"]({"name": "Order 1", "amount": "5"})
    *_, end = await app.pages()
    act["forget_journal"]({})
    page = await app.talk(SOURCE.entry(end.cursor))
    assert ([hint.reason for hint in page.hints], page.cursor, page.more) == ([GAP], "", False)
    deal: Any = act["create_deal"]({"name": "Order 2", "amount": "5"})
    first, *_ = await app.pages(cursor=page.cursor)
    assert deal["id"] in {hint.object.id for hint in first.hints}


async def test_a_file_that_nobody_can_read_is_passed_over(app: App) -> None:
    await app.subscribe()
    app.sandbox.verbs["create_deal"]({"name": "Order 1", "amount": "5"})
    app.sandbox.verbs["spoil_journal"]({})
    page, end = await app.pages()
    assert ([hint.reason for hint in page.hints], page.more, end.more) == ([GAP], True, False)


async def test_a_merge_is_told_at_once(app: App) -> None:
    app.sandbox.portal.follows = True
    await app.subscribe()
    one, two = (app.sandbox.verbs["create_deal"]({"name": f"Order {n}", "amount": "5"}) for n in (1, 2))
    *_, end = await app.pages()
    deals = app.sandbox.portal.records["deals"]
    merged = app.sandbox.portal.merge(deals[one["id"]], deals[two["id"]], "CRM_UI")  # type: ignore[index]
    hints = {hint.object.id: hint for page in await app.pages(cursor=end.cursor) for hint in page.hints}
    assert hints[two["id"]].reason == f"{MERGED_INTO}{one['id']}"  # type: ignore[index]
    assert {one["id"], two["id"], merged.id} <= set(hints)  # type: ignore[index]
    asked = [hints[one["id"]], hints[two["id"]]]  # type: ignore[index]
    app.token = "pat-made-up"
    events = await app.talk(SOURCE.read_many(asked))
    shown = {event.object.id: event for event in events if event.object.type == "deals"}
    assert isinstance(shown[one["id"]].facts, Order)  # type: ignore[index]
    assert shown[one["id"]].facts.merged_into == merged.id  # type: ignore[index,union-attr]
    assert shown[two["id"]].facts.merged_into == one["id"]  # type: ignore[index,union-attr]
    assert shown[merged.id].presence == "present"


def _hints(**event: Any) -> dict[str, str]:
    told = {"type": "crmObject", "portalId": int(PORTAL), "occurredAt": "2026-03-01T08:00:00Z", "objectTypeId": "0-3"}
    file = {"journalEvents": [{**told, "action": "MERGE", **event}]}
    _, page = answer(SOURCE.entry(""), ENTRY, Response(status=200, body=json.dumps(file).encode()))
    return {hint.object.id: hint.reason for hint in page.hints}


def test_a_merge_that_says_all_is_understood_as_a_webhooks_one() -> None:
    said = _hints(objectId=5, primaryObjectId=5, mergedObjectIds=[4], newObjectId=9)
    assert said == {"5": f"{MERGED_INTO}9", "9": "merged_from:5,4", "4": f"{MERGED_INTO}9"}


@pytest.mark.parametrize("event", [{"objectId": 5}, {"objectId": 5, "mergedObjectIds": [5, 4]}])
def test_a_merge_that_does_not_say_what_became_of_it_is_read_by_itself(event: dict[str, Any]) -> None:
    assert set(_hints(**event).values()) == {RECHECK}


def test_events_of_other_portals_and_of_what_is_not_read_lead_nowhere() -> None:
    assert _hints(objectId=5, portalId=1, action="UPDATE") == {}
    assert _hints(objectId=5, objectTypeId="0-99", action="UPDATE") == {}
    assert _hints(action="APP_INSTALL", objectTypeId="") == {}
    assert _hints(objectId=5, action="SOMETHING_NEW") == {"5": "object.something_new"}


def test_both_ends_of_an_association_are_told() -> None:
    ends = {"fromObjectTypeId": "0-3", "fromObjectId": 5, "toObjectTypeId": "0-1", "toObjectId": 6}
    assert set(_hints(type="association", action="ASSOCIATION_ADDED", objectTypeId=None, **ends)) == {"5", "6"}
    told = as_webhook({"action": "ASSOCIATION_REMOVED", **ends})
    assert told["subscriptionType"] == "object.associationChange"


# -- what goes wrong ---------------------------------------------------------------------------------------------------


def test_the_file_is_asked_for_bare() -> None:
    requests, _ = answer(SOURCE.entry("yes|o0"), ENTRY, Response(status=200, body=b'{"journalEvents": []}'))
    assert [request.bare for request in requests] == [False, True]
    assert requests[0].path == "/webhooks-journal/journal-local/2026-03/offset/o0/next"
    assert (requests[1].path, dict(requests[1].params), dict(requests[1].headers)) == (FILE, {}, {})


def test_an_offset_that_leads_to_itself_is_the_end() -> None:
    _, page = answer(SOURCE.entry("yes|o1"), ENTRY)
    assert (page.cursor, page.more) == ("yes|o1", False)


@pytest.mark.parametrize("status", [403, 404, 503])
def test_a_file_that_is_not_there_is_asked_for_again(status: int) -> None:
    with pytest.raises(RetryableError):
        answer(SOURCE.entry(""), ENTRY, Response(status=status, body=b"<Error/>"))


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Response(status=404, body=b"{}"), RejectedError),
        (Response(status=401, body=b"{}"), AuthError),
        (Response(status=403, body=b'{"category": "MISSING_SCOPES"}'), RejectedError),
        (Response(status=500), RetryableError),
        (Response(status=200, body=b'{"offset": 1}'), DecodeError),
    ],
)
def test_other_answers_are_errors(reply: Response, error: type[Exception]) -> None:
    with pytest.raises(error):
        answer(SOURCE.entry(""), reply)


def test_an_answer_without_a_body_is_nothing_new() -> None:
    assert answer(SOURCE.entry("yes|o1"), Response(status=200))[1] == Page(cursor="yes|o1")


async def test_the_apps_token_opens_the_journal_alone_and_needs_its_scopes(app: App) -> None:
    assert await app.enter("developer.webhooks_journal.subscriptions.read") == 200
    with pytest.raises(RejectedError):
        await app.talk(SOURCE.entry(""))
    app.token = "pat-sandbox"
    with pytest.raises(AuthError):
        await app.talk(SOURCE.entry(""))
    assert await app.enter(version="v1") == 400
    await app.enter()
    with pytest.raises(AuthError):
        await app.talk(SOURCE.sweep("deals", "", datetime.now(UTC)))


def test_rights_and_address_of_the_token_are_those_of_the_options() -> None:
    auth = journal_of({"commerce": "yes"}, "orders").auth
    assert {"developer.webhooks_journal.read", "crm.objects.orders.read", "crm.objects.commercepayments.read"} <= set(
        auth.app_form["scope"].split()
    )
    own = journal_of({"journal_scopes": "a b", "journal_token_path": "/oauth/v3/token"}, "deals").auth
    assert (own.app_form["scope"], own.token_url) == ("a b", "/oauth/v3/token")
    assert SOURCE.follows is not None
    assert source(journal="no").follows is None
    assert journal_of({"journal_seconds": "5"}, "deals").seconds == 5 < JOURNAL.seconds
