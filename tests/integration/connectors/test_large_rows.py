"""The reply to fifty invoices of many lines is more than Kafka takes by default; the journal's topic holds it."""

from __future__ import annotations

import base64
import random
import time
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest

from app.cli.topics import apply_topics
from app.config.load import load
from app.connectors.bus import Bus
from app.connectors.ledger import ConnectionLedger
from app.connectors.rows import Rows
from app.core import topics
from schemas.commands import Result
from sinks.delivery import row as rows
from sinks.delivery.journal import Journal
from sinks.delivery.row import Row

pytestmark = pytest.mark.kafka
BULK = base64.b64encode(random.Random(1).randbytes((rows._MOST - 8) * 3 // 4)).decode()
"""As much as a row may hold, and hardly anything that compression makes smaller."""


async def test_the_largest_row_and_a_large_result_are_kept_and_left_to_the_next_owner(
    kafka: str, tmp_path: Path
) -> None:
    path, prefix = tmp_path / "o2c.toml", f"t{uuid4().hex[:12]}."
    path.write_text(f'[kafka]\nbootstrap = "{kafka}"\npartitions = 2\n[topics]\nprefix = "{prefix}"\n')
    await apply_topics(load(path, {}))
    members = tuple(uuid4().hex for _ in range(100))
    row = Row(command=uuid4().hex, step="batch", epoch=1, state="confirmed", reply=BULK, members=members)
    assert not rows.too_large(row)
    result = Result(
        command="c", order="o", write="w", tenant="acme", connection="books", account="a", capability="upsert_invoice",
        outcome="confirmed", reason=BULK[: 3 * 1024 * 1024], epoch=1, offset=1,
    )  # fmt: skip
    bus = Bus(kafka, prefix, 2, {})
    await bus.start()
    try:
        owner = Rows(bus, "books", time.time)
        await owner.begin(Journal())
        ledger = ConnectionLedger(bus, owner, "books", lambda _event, _source: None)
        await ledger.keep_row(row)
        await ledger.publish_result(result)
        left = Journal()
        await Rows(bus, "books", time.time).begin(left)
        assert left.get(row.command, row.step) == row
        told = [value async for _, value in bus.records(topics.RESULTS)]
        assert [msgspec.json.decode(value or b"", type=Result) for value in told] == [result]
    finally:
        await bus.stop()
