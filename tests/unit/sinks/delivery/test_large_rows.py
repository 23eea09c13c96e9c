"""What no row of the journal can hold: a request is not sent, and a reply is asked for again instead of kept."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from app.core.talk import Request, Response
from schemas.commands import Command
from sinks.delivery import row as rows
from tests.unit.sinks.delivery.batching import Bench, Vendor, command, single
from tests.unit.sinks.delivery.keeping import Log

SMALL = 600
"""Base64 characters of a body or reply that a row may hold here: more than one invoice, less than ten."""


@pytest.fixture(autouse=True)
def small_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "_MOST", SMALL)


def _bulky(number: int, size: int) -> Command:
    return msgspec.structs.replace(command(number), fields={"note": "x" * size})


async def test_a_batch_whose_request_is_too_large_goes_one_by_one() -> None:
    bench = Bench(Vendor())
    await bench.work(20, *(_bulky(number, 90) for number in range(10)))
    assert bench.log.outcomes() == {f"c{number}": "confirmed" for number in range(10)}
    assert [len(json.loads(body)) for _, _, body in bench.vendor.posts] == [1] * 10
    assert max(len(row.body) + len(row.reply) for row in bench.log.rows.values()) <= SMALL


async def test_a_single_request_that_is_too_large_is_refused_and_never_leaves() -> None:
    bench = Bench(Vendor())
    await bench.work(20, _bulky(1, 900), single(2))
    assert bench.log.outcomes() == {"c1": "rejected", single(2).id: "confirmed"}
    assert len(bench.vendor.posts) == 1
    assert [one.id for one in bench.log.dead] == ["c1"]


class Wordy(Vendor):
    """Answers writes with more than a row may hold."""

    async def __call__(self, request: Request, key: str, before: Any = None) -> Response:
        reply = await super().__call__(request, key, before)
        return msgspec.structs.replace(reply, body=reply.body + b" " * SMALL) if request.mutates else reply


async def test_a_batch_whose_reply_is_too_large_is_told_whole_and_kept_in_parts() -> None:
    bench = Bench(Wordy())
    await bench.work(1, *(command(number) for number in range(10)))
    assert len(bench.vendor.posts) == 1
    assert bench.log.outcomes() == {f"c{number}": "confirmed" for number in range(10)}
    (batch,) = [row for row in bench.log.rows.values() if row.members]
    assert (batch.state, batch.reply) == ("uncertain", "")
    assert [bench.owner._writing.journal.unresolved(f"c{number}") for number in range(10)] == [[]] * 10


async def test_who_takes_over_before_the_parts_are_kept_asks_and_makes_nothing_twice() -> None:
    bench = Bench(Wordy())
    await bench.work(1, *(command(number) for number in range(10)))
    left = Log()
    left.rows = {key: row for key, row in bench.log.rows.items() if row.members}
    successor = Bench(bench.vendor, left, bench.time, epoch=2)
    await successor.work(200, *(command(number) for number in range(10)))
    assert left.outcomes() == {f"c{number}": "confirmed" for number in range(10)}
    assert sorted(row["mark"] for row in bench.vendor.invoices) == sorted(f"m{number}" for number in range(10))


async def test_a_single_write_whose_reply_is_too_large_is_settled_with_its_result() -> None:
    bench = Bench(Wordy())
    await bench.work(1, single(1))
    assert bench.log.outcomes() == {"c1": "confirmed"}
    assert {row.state for row in bench.log.rows.values()} == {"settled"}
