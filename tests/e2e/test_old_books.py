"""The first day with books that people kept by hand, on a real Kafka: read, shown, and nothing written twice."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from tests.e2e.old_books import Books, disputed, old_books, rows

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.timeout(600)]
BOOKS = Books(orders=40, typed=24, wrong=4)


async def test_old_orders_are_shown_then_left_alone_then_written_where_asked_for(kafka: str, tmp_path: Path) -> None:
    async with old_books(kafka, tmp_path, f"old-{uuid.uuid4().hex[:8]}-", BOOKS, seed=1) as company:
        await company.read_whole(seconds=90)
        before, plan = company.writes(), await company.plan()
        assert len(rows(plan, "create", old=True)) == BOOKS.missing
        assert rows(plan, "create", old=False) == []
        assert len(rows(plan, "adopt")) == BOOKS.right
        assert len(disputed(plan)) == BOOKS.wrong

        await company.go_live(plan)
        await company.there.silent()
        assert company.writes() == before
        assert company.ours() == []

        said = await company.backfill(plan)
        assert (said["writes"], said["adopted"], said["for_a_person"]) == (BOOKS.missing, BOOKS.right, BOOKS.wrong)
        await company.there.until(lambda: len(company.ours()) == BOOKS.missing, "the backfill")
        await company.there.silent()
        company.agrees()
        code, parked = await company.o2c("parked", "list")
        assert (code, len(parked)) == (0, BOOKS.wrong)

        for object_, word in ((parked[0]["id"], "link"), (parked[1]["id"], "dismiss")):
            code, seen = await company.o2c("parked", "show", object_)
            assert (code, len(seen[0]["candidates"])) == (0, 1), seen
            named = [seen[0]["candidates"][0]["number"]] if word == "link" else []
            assert (await company.o2c("parked", word, object_, *named))[0] == 0
        await company.there.until(lambda: len(company.ours()) == BOOKS.missing + 1, "the invoice beside another one's")
        await company.there.silent()
        assert len((await company.o2c("parked", "list"))[1]) == BOOKS.wrong - 2

        done, again = company.writes(), await company.plan()
        assert again["rows"] == rows(again, "adopt")
        await company.backfill(again)
        await company.there.silent()
        assert company.writes() == done
