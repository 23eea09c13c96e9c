"""The round trips of Xero's sink and source once more; a mock that nobody here wrote must accept each of their requests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from app.core.talk import Request
from tests.long.outside.mock import Judge, judging
from tests.platforms.xero.company import AUTH, TENANT, Company, opened
from tests.platforms.xero.test_xero_money import *  # noqa: F403 - the same tests, with a `company` that is judged
from tests.platforms.xero.test_xero_roundtrip import *  # noqa: F403 - the same

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
HEADERS = {"xero-tenant-id": TENANT}


@pytest.fixture(scope="module")
def judge(prism: Path, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    files = [shared / "specs" / "xero" / "xero_accounting.yaml"]
    with judging(prism, tmp_path_factory.mktemp("xero"), files, AUTH, {}) as found:
        yield found


@pytest.fixture
async def company(judge: Judge) -> AsyncIterator[Company]:
    async with opened() as found:
        yield found
        assert judge.objections(request for request, _ in found.exchanges) == []


@pytest.mark.parametrize(
    "wrong",
    [
        Request(method="PUT", path="/Invoices", headers=HEADERS, json={"Invoices": [{"Type": "SALE"}]}),
        Request(method="PUT", path="/Invoices", headers=HEADERS, json={"Invoices": [{"LineItems": [{"Count": 1}]}]}),
        Request(method="PUT", path="/Payments", headers=HEADERS, json={"Payments": [{"Amount": "many"}]}),
        Request(method="GET", path="/Invoices", headers=HEADERS, params={"page": "first"}),
        Request(method="PUT", path="/Invoice", headers=HEADERS, json={}),
    ],
)
def test_a_wrong_request_is_refused(wrong: Request, judge: Judge) -> None:
    assert judge.objections([wrong])


def test_the_judge_had_work(judge: Judge) -> None:
    assert judge.judged > 100
