from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import structlog

from benchmarks.groups.member import log_aside

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def logging() -> Iterator[None]:
    """Have logging as it was, afterwards."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.mark.usefixtures("logging")
def test_a_warning_is_no_line_that_the_measurement_reads(capsys: pytest.CaptureFixture[str]) -> None:
    log_aside()
    structlog.get_logger().warning("behind")
    said = capsys.readouterr()
    assert (said.out, "behind" in said.err) == ("", True)
