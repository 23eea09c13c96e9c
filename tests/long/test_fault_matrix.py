"""Every cell of the fault matrix is injected at least once, none is skipped, and nothing comes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.brokers import cluster
from tests.chaos.cells import every
from tests.chaos.matrix import Options, run


@pytest.mark.kafka
@pytest.mark.e2e
@pytest.mark.long
@pytest.mark.timeout(4 * 3600)
async def test_no_cell_is_skipped_and_nothing_comes_of_any(tmp_path: Path) -> None:
    async with cluster(tmp_path / "kafka") as brokers:
        report = await run(every(), Options(), brokers.bootstrap, tmp_path, brokers)
    assert report.missed == [], report.as_text()
    assert report.code == 0, report.as_text()
