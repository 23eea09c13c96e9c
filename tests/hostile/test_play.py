"""The play of hostile input, short: made-up cases against gateway, parsers and the orders table; and a judge that can say no."""

from __future__ import annotations

import ast
import os
import socket
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import msgspec
import pytest

from app import platforms
from app.core import topics
from app.deliveries import translating
from schemas.jsontext import read_json
from tests.hostile import shapes
from tests.hostile.__main__ import played
from tests.hostile.cases import FILES, MADE_UP, ROOT, SHARED, Case, load
from tests.hostile.door import connection, open_door
from tests.hostile.play import HEADERS, play
from tests.hostile.table import Table, home, placed
from tests.hostile.watch import Watch

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
        patch.object(translating, "check_json"),
        patch("schemas.cloudevents.check_json"),
        patch("schemas.cloudevents.check_foreign"),
    )
    async with open_door() as door:
        with blind[0], blind[1], blind[2]:
            outcomes = [one async for one in play(msgspec.structs.replace(bad, expect="reject"), door, table)]
    table.close()
    assert {one.way for one in outcomes if one.wrong} >= {"events, as an order", "topic"}


@pytest.mark.parametrize("slug", shapes.RECORDS)
async def test_a_sound_order_of_each_platform_is_planned_so_that_the_hostile_ones_could_be(
    slug: str, tmp_path: Path
) -> None:
    table, shape = Table(tmp_path), shapes.RECORDS[slug]
    total = b"100" if slug == "stripe" else b'"1.00"'
    record = shape.of(b'{"id":1,"currency":"EUR","total":%s,"name":"Ada"}' % total)
    (event, *_) = platforms.load(slug).source(connection(slug)).parse(shape.type, read_json(record))
    outs, dead = await table.take(*placed(event), topic=topics.ORDER_FACTS)
    table.close()
    assert ({out.topic for out in outs} >= {topics.COMMANDS}, dead) == (True, "")


def test_aiohttps_pure_parser_refuses_the_raw_requests_as_well() -> None:
    words = [sys.executable, "-m", "tests.hostile", "--files", "http", "--without-kafka"]
    pure = {**os.environ, "AIOHTTP_NO_EXTENSIONS": "1"}
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, env=pure, check=False)
    assert (done.returncode, "socket, pure Python" in done.stdout) == (0, True), done.stdout + done.stderr[-2_000:]


def _free_memory_below() -> list[bytes]:
    """Leave 120 MiB of the heap free but the process's own, as a long run of tests does; return what lies above it."""
    for mebibytes in (4, 8, 16, 24, 31):
        bytes(mebibytes * 1_048_576)  # each freed mapping raises glibc's bound between heap and mapping
    below = [b"x" * (20 * 1_048_576) for _ in range(6)]
    above = [b"y" * (3 * 1_048_576) for _ in range(4)]
    below.clear()
    return above


def test_what_a_play_takes_is_seen(tmp_path: Path) -> None:
    watch = Watch(1)
    above = _free_memory_below()
    watch.begin()
    held = b"x" * (80 * 1_048_576)
    taken = watch.end()
    assert "took" in taken.wrong or not Path("/proc/self/clear_refs").exists(), (taken, len(held), len(above))
    del held, above
    for what, does in (
        ("opened", lambda: (tmp_path / "x").write_bytes(b"")),
        ("connected to", lambda: socket.socket().connect_ex(("127.0.0.1", 9))),
        ("asked for the address", lambda: socket.getaddrinfo("localhost", 1)),
    ):
        watch.begin()
        does()
        assert watch.end().wrong.startswith(what)
    watch.begin()
    assert watch.end().wrong == ""


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


def test_one_place_writes_tables_for_spreadsheets(root: Path) -> None:
    writers = [path.name for path in (root / "app").rglob("*.py") if "csv.writer" in path.read_text(encoding="utf-8")]
    assert writers == ["telling.py"], "each cell of it is neutralised; another one would have to be played as well"


def test_a_case_is_read_packed_or_not() -> None:
    cases = [case for name in FILES for case in load(name, MADE_UP)]
    assert all(isinstance(case, Case) for case in cases)
    assert len({(case.file, case.name) for case in cases}) == len(cases) > 40
