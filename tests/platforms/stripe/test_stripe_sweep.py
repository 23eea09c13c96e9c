"""The walk through Stripe's events: page by page, each of which counts, and nothing is left out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from app.core.talk import Request, Response
from schemas.connection import Connection
from streams.sources.base import Page
from streams.sources.platforms.stripe import StripeSource

SOURCE = StripeSource(Connection(name="pay", tenant="acme", platform="stripe", account="acct_1"))
NOW = datetime(2026, 5, 5, 12, tzinfo=UTC)
OVERLAP = 300
_PAGE = 100
_DAYS = 29 * 86400
_ENDLESS = 2000


class Told(NamedTuple):
    """An event: the second it was created in, how many seconds later lists show it, and the invoice it names."""

    created: int
    late: int
    invoice: str


class Account:
    """Lists its events as Stripe does, the newest first, a hundred at most; our clock is *slow* by some seconds."""

    def __init__(self, told: Iterable[Told], now: int, slow: int = 0) -> None:
        self.now, self._slow = now, slow
        self._asked = 0
        self.requests: list[Request] = []
        self._told = sorted(enumerate(told), key=lambda one: (one[1].created, one[0]), reverse=True)

    def answer(self, request: Request) -> Response:
        self.requests.append(request)
        self._asked += 1
        assert self._asked < _ENDLESS
        params = request.params
        since, until = int(params["created[gte]"]), int(params.get("created[lt]", "99999999999"))
        rows = [
            (f"evt_{number}", one)
            for number, one in self._told
            if since <= one.created < until and one.created + one.late <= self.now
        ]
        if after := params.get("starting_after"):
            rows = rows[[id_ for id_, _ in rows].index(after) + 1 :]
        limit = int(params["limit"])
        data = [
            {"id": id_, "type": "invoice.updated", "created": one.created,
             "data": {"object": {"object": "invoice", "id": one.invoice}}}
            for id_, one in rows[:limit]
        ]  # fmt: skip
        return Response(status=200, body=json.dumps({"data": data, "has_more": len(rows) > limit}).encode())

    def page(self, cursor: str) -> Page:
        talk = SOURCE.sweep("events", cursor, datetime.fromtimestamp(self.now - self._slow, UTC))
        request = next(talk)
        while True:
            try:
                request = talk.send(self.answer(request))
            except StopIteration as done:
                page: Page = done.value
                return page


def _at_once(count: int, created: int) -> list[Told]:
    return [Told(created, 0, f"in_{created}_{number}") for number in range(count)]


def _second(moment: datetime) -> int:
    return int(moment.timestamp())


def _pass(account: Account, cursor: str = "") -> list[Page]:
    pages = [account.page(cursor)]
    while pages[-1].more:
        pages.append(account.page(pages[-1].cursor))
        assert len(pages) < _ENDLESS / 10
    return pages


def _named(pages: Iterable[Page]) -> list[str]:
    return [hint.object.id for page in pages for hint in page.hints]


def test_what_fits_into_a_page_is_one_open_list_from_five_minutes_before_the_last_pass() -> None:
    account = Account(_at_once(_PAGE, _second(NOW) - 400), _second(NOW))
    page = account.page((NOW - timedelta(minutes=2)).isoformat())
    assert (page.more, len(page.hints)) == (False, _PAGE)
    assert (page.cursor, page.complete_up_to) == (NOW.isoformat(), NOW)
    (request,) = account.requests
    assert request.params == {"created[gte]": str(_second(NOW) - 120 - OVERLAP), "limit": "100"}


def test_a_pass_shows_the_oldest_first_and_no_event_twice() -> None:
    told = [Told(_second(NOW) - 5000 + 10 * number, 0, f"in_{number}") for number in range(450)]
    account = Account(told, _second(NOW))
    pages = _pass(account)
    assert len(pages) >= 5
    assert max(len(page.hints) for page in pages) <= _PAGE
    assert _named(pages) == [one.invoice for one in told]


def test_places_within_a_pass_do_not_overlap_and_its_end_is_when_it_began() -> None:
    told = [Told(_second(NOW) - 500 + number, 0, f"in_{number}") for number in range(450)]
    account = Account(told, _second(NOW))
    pages = [account.page("")]
    while pages[-1].more:
        assert pages[-1].complete_up_to is None
        account.now += 1000
        account.requests.clear()
        pages.append(account.page(pages[-1].cursor))
    assert _named(pages) == [one.invoice for one in told]
    assert (pages[-1].cursor, pages[-1].complete_up_to) == (NOW.isoformat(), NOW)


def test_more_events_of_one_second_than_a_page_takes_are_all_shown() -> None:
    second = _second(NOW) - 1000
    told = [*_at_once(3, second - 1), *_at_once(350, second), *_at_once(3, second + 1)]
    pages = _pass(Account(told, _second(NOW)))
    assert sorted(_named(pages)) == sorted(one.invoice for one in told)
    assert max(len(page.hints) for page in pages) <= _PAGE


def test_more_events_of_the_last_second_than_a_page_takes_are_all_shown() -> None:
    told = _at_once(350, _second(NOW))
    assert sorted(_named(_pass(Account(told, _second(NOW))))) == sorted(one.invoice for one in told)


def test_a_clock_of_ours_that_is_slow_hides_nothing() -> None:
    told = [*_at_once(150, _second(NOW) - 50), *_at_once(150, _second(NOW) - 10)]
    account = Account(told, _second(NOW), slow=30)
    assert sorted(_named(_pass(account))) == sorted(one.invoice for one in told)


def test_what_a_list_shows_late_is_found_by_the_next_pass_however_long_this_one_takes() -> None:
    late = Told(_second(NOW) - 250, 280, "in_late")
    account = Account([late, *(Told(late.created + number, 0, f"in_{number}") for number in range(150))], _second(NOW))
    page, seen = account.page(NOW.isoformat()), set[str]()
    assert page.more
    while page.more:
        account.now += 4000
        seen |= set(_named([page]))
        page = account.page(page.cursor)
    assert late.invoice not in seen | set(_named([page]))
    assert late.invoice in _named(_pass(account, page.cursor))


def test_a_long_quiet_time_costs_few_requests() -> None:
    told = [*_at_once(90, _second(NOW) - _DAYS + 60), *_at_once(90, _second(NOW) - 60)]
    account = Account(told, _second(NOW))
    _pass(account)
    assert len(account.requests) <= 5
    account = Account([*told, *_at_once(90, _second(NOW) - 59)], _second(NOW))
    _pass(account)
    assert len(account.requests) <= 45
    told = [Told(_second(NOW) - 3000 + number, 0, f"in_{number}") for number in range(3000)]
    account = Account(told, _second(NOW))
    _pass(account)
    assert len(account.requests) <= 3000 / 50 + 40


_CREATED = st.one_of(st.integers(-28 * 86400, 0), st.integers(-900, 0), st.just(-500))
_BURST = st.tuples(_CREATED, st.integers(0, OVERLAP - 10), st.sampled_from([1, 1, 2, 60, 101, 230]))


def _history(bursts: Sequence[tuple[int, int, int]]) -> list[Told]:
    return [
        Told(_second(NOW) + at, late, f"in_{place}_{number}")
        for place, (at, late, count) in enumerate(bursts)
        for number in range(count)
    ]


@given(st.lists(_BURST, max_size=8), st.lists(_BURST, max_size=3), st.data())
def test_however_often_a_pass_is_broken_off_every_step_counts_and_every_object_is_hinted_at(
    before: list[tuple[int, int, int]], meanwhile: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    later = [(600 + at % 900, late, count) for at, late, count in meanwhile]
    told = _history([*before, *later])
    account = Account(told, _second(NOW))
    cursor, seen, passes = "", set[str](), 0
    while passes < 3:
        page = account.page(cursor)
        account.now += data.draw(st.integers(0, 200), "seconds until the next call")
        if data.draw(st.booleans(), "killed before the place was kept"):
            continue
        assert page.cursor != cursor
        seen |= set(_named([page]))
        cursor = page.cursor
        if not page.more:
            passes += 1
            account.now = max(account.now + 1, _second(NOW) + passes * 3000)  # no two passes begin at once
    assert seen == {one.invoice for one in told}


@given(st.lists(_BURST, max_size=8))
def test_a_pass_takes_no_more_steps_than_its_events_make_necessary(bursts: list[tuple[int, int, int]]) -> None:
    told = _history(bursts)
    account = Account(told, _second(NOW) + OVERLAP)
    pages = _pass(account)
    places = [page.cursor for page in pages]
    assert len(set(places)) == len(places)
    assert len(account.requests) <= len(told) / 50 + 60 * (1 + len(bursts))
