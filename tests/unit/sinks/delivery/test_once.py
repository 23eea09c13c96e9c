"""A mail that may have left already is not sent again: nobody can ask, so a person looks and says so."""

from __future__ import annotations

import pytest

from app.core.talk import Request, Talk
from schemas.commands import Command
from schemas.connection import Connection
from sinks.base import Written
from sinks.delivery.journal import Journal
from sinks.delivery.owner import Owner
from tests.unit.sinks.delivery.owning import Bench, Ledgerish, command_of, written

ROW = {"id": "1", "mark": "m1"}


class Mailing(Ledgerish):
    """An invoice is mailed, which no read shows."""

    def upsert_invoice(self, command: Command) -> Talk[Written]:
        mail = Request(
            method="POST", path="/invoices/1", json={"mark": command.mark}, mutates=True, step="mail", once=True
        )
        reply = yield mail
        if (error := self.classify(reply, mutating=True)) is not None:
            raise error
        return written(ROW)

    def probe(self, command: Command) -> Talk[Written | None]:
        yield Request(method="GET", path="/invoices", params={"mark": command.mark})
        return None


def owned(bench: Bench) -> Bench:
    connection = Connection(name="books", tenant="acme", platform="made_up", account="b")
    journal = Journal(bench.log.rows.values())
    bench.owner = Owner(
        Mailing(connection), bench.vendor, bench.log, epoch=1, now=lambda: bench.time, journal=journal
    )  # fmt: skip
    return bench


def mails(bench: Bench) -> int:
    return sum(call.startswith("POST") for call in bench.vendor.calls)


@pytest.mark.parametrize("fate", ["after", "before"])
async def test_a_mail_whose_answer_was_lost_is_not_sent_again_until_a_person_says_so(fate: str) -> None:
    bench = owned(Bench([fate]))
    await bench.owner.accept(command_of())
    await bench.work(300)
    (told,) = bench.log.results
    assert (told.outcome, mails(bench)) == ("rejected", 1)
    assert "may have done" in told.reason
    assert len(bench.log.dead) == 1
    await bench.owner.accept(command_of())
    await bench.work(300)
    assert (bench.log.results[-1].outcome, mails(bench)) == ("confirmed", 2)


async def test_a_process_that_dies_as_the_mail_leaves_leaves_it_to_a_person() -> None:
    bench = owned(Bench(["after"]))
    await bench.owner.accept(command_of())
    await bench.work(1)
    again = owned(Bench(log=bench.log, vendor=bench.vendor))
    again.time = bench.time + 600
    again.owner.restore(command_of())
    await again.work(300)
    assert ([one.outcome for one in bench.log.results], mails(bench)) == (["rejected"], 1)


@pytest.mark.parametrize("fate", ["limited", 400])
async def test_a_mail_that_was_surely_not_sent_is_sent_again(fate: str | int) -> None:
    bench = owned(Bench([fate]))
    await bench.owner.accept(command_of())
    await bench.work(300)
    if fate == 400:
        assert bench.log.results[-1].outcome == "rejected"
        await bench.owner.accept(command_of())
        await bench.work(10)
    assert (bench.log.results[-1].outcome, mails(bench)) == ("confirmed", 2)
