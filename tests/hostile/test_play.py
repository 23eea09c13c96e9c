"""The play of hostile input, short: made-up cases against gateway, parsers and the orders table; and a judge that can say no."""

from __future__ import annotations

import ast
from pathlib import Path
from unittest.mock import patch

import msgspec
import pytest

from app.gateway import intake
from tests.hostile import shapes
from tests.hostile.__main__ import played
from tests.hostile.cases import FILES, MADE_UP, SHARED, Case, load
from tests.hostile.door import open_door
from tests.hostile.play import HEADERS, play
from tests.hostile.table import Table, home

pytestmark = pytest.mark.sandbox


async def test_nothing_of_the_made_up_input_goes_wrong() -> None:
    outcomes = await played(MADE_UP)
    assert [(one.case.name, one.way, one.wrong) for one in outcomes if one.wrong] == []
    assert {one.case.file for one in outcomes} == set(FILES)
    assert {one.verdict for one in outcomes} >= {"rejected", "accepted", "held", "dead letter"}


async def test_the_raw_requests_and_orders_that_lie_beside_the_project_do_what_they_demand() -> None:
    if not SHARED.is_dir():
        pytest.skip("../shared is not present")
    outcomes = await played(SHARED, ("http", "order-json"))
    assert [(one.case.name, one.way, one.wrong) for one in outcomes if one.wrong] == []


async def test_a_gateway_that_does_not_look_is_found_out(tmp_path: Path) -> None:
    table = Table(tmp_path)
    (bad,) = (case for case in load("order-json", MADE_UP) if case.name == "made-up/twice")
    blind = (
        patch.object(intake, "check_json"),
        patch("schemas.cloudevents.check_json"),
        patch("schemas.cloudevents.check_foreign"),
    )
    async with open_door() as door:
        with blind[0], blind[1], blind[2]:
            outcomes = [one async for one in play(msgspec.structs.replace(bad, expect="reject"), door, table)]
    table.close()
    assert {one.way for one in outcomes if one.wrong} >= {"events, as an order", "topic"}


async def test_an_order_after_one_that_breaks_the_fold_is_folded(tmp_path: Path) -> None:
    table = Table(tmp_path)
    good = shapes.numbered("good")
    with patch("streams.processors.orders.step", side_effect=ZeroDivisionError):
        assert "ZeroDivisionError" in (await table.take(home("good"), HEADERS, good))[1]
    outs, dead = await table.take(home("good"), HEADERS, good)
    table.close()
    assert (bool(outs), dead) == (True, "")


def test_no_file_of_ours_reads_xml(root: Path) -> None:
    found = set()
    for folder in ("app", "schemas", "sinks", "streams"):
        for path in (root / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                found |= {
                    name for name in names if name.split(".")[0] in {"xml", "lxml", "defusedxml", "html5lib", "bs4"}
                }
    assert found == set()


def test_a_case_is_read_packed_or_not() -> None:
    cases = [case for name in FILES for case in load(name, MADE_UP)]
    assert all(isinstance(case, Case) for case in cases)
    assert len({(case.file, case.name) for case in cases}) == len(cases) > 40
