"""The fault matrix in short: processes killed and answers spoiled on the Kafka of all tests, which is left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.cells import short
from tests.chaos.matrix import Options, run

SEED = 1
SHORT = Options(
    seed=SEED, rate=2.0, window=40, latency=0.02, settle=2.0, timeout=2.0, margin=1.0, stalled=120.0, at_once=True
)


@pytest.mark.kafka
@pytest.mark.e2e
@pytest.mark.timeout(400)
async def test_nothing_is_lost_doubled_or_out_of_order_whatever_strikes(kafka: str, tmp_path: Path) -> None:
    report = await run(short(SEED), SHORT, kafka, tmp_path)
    assert report.code == 0, report.as_text()
    assert report.judged > 0
