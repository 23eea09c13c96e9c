"""A fault strikes the process that comes to its point for the n-th time, once, and says so before it dies."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.core import faultpoints
from app.core.faultpoints import around

PROGRAM = """
import asyncio, sys
from app.core import faultpoints
faultpoints.switch_on(sys.argv[1])

async def work():
    for number in range(5):
        async with faultpoints.around("step", "books"):
            print(number, flush=True)

asyncio.run(work())
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    faultpoints.switch_on(str(tmp_path))
    yield tmp_path
    faultpoints.switch_on("")


def arm(folder: Path, name: str, **fault: Any) -> None:
    (folder / f"{name}.armed").write_text(json.dumps(fault))


def hits(folder: Path) -> list[str]:
    log = folder / "hits.jsonl"
    return [json.loads(line)["name"] for line in log.read_text().splitlines()] if log.exists() else []


async def pass_by(step: str, label: str = "") -> None:
    async with around(step, label):
        pass


async def test_switched_off_nothing_happens(tmp_path: Path) -> None:
    arm(tmp_path, "a", point="step.before", action="kill")
    await pass_by("step")
    assert hits(tmp_path) == []


async def test_a_held_task_goes_on_when_it_is_told_to_and_others_never_wait(folder: Path) -> None:
    arm(folder, "a", point="step.after", label="books", action="hold")
    held = asyncio.create_task(pass_by("step", "books"))
    await asyncio.wait_for(pass_by("step", "qbo"), 1)
    for _ in range(100):
        if hits(folder):
            break
        await asyncio.sleep(0.02)
    assert hits(folder) == ["a"]
    await asyncio.wait_for(pass_by("step", "books"), 1)
    assert not held.done()
    (folder / "a.go").touch()
    await asyncio.wait_for(held, 2)


async def test_what_fails_inside_never_comes_to_the_point_after_it(folder: Path) -> None:
    arm(folder, "a", point="step.after", action="kill")
    with pytest.raises(ValueError, match="inside"):
        async with around("step"):
            raise ValueError("inside")
    assert hits(folder) == []


@pytest.mark.parametrize(("point", "told"), [("step.before", ["0", "1"]), ("step.after", ["0", "1", "2"])])
async def test_the_third_passage_kills_and_the_log_says_who(tmp_path: Path, point: str, told: list[str]) -> None:
    arm(tmp_path, "a", point=point, label="books", passage=3, action="kill")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert out.decode().split() == told
    line = json.loads((tmp_path / "hits.jsonl").read_text())
    assert (line["name"], line["point"], line["label"], line["pid"]) == ("a", point, "books", process.pid)
    assert not (tmp_path / "a.armed").exists()


async def test_a_stopped_process_goes_on_after_sigcont(tmp_path: Path) -> None:
    arm(tmp_path, "a", point="step.before", passage=2, action="stop")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    for _ in range(400):
        if hits(tmp_path):
            break
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.2)
    assert (hits(tmp_path), process.returncode) == (["a"], None)
    os.kill(process.pid, signal.SIGCONT)
    out, _ = await process.communicate()
    assert (process.returncode, out.decode().split()) == (0, ["0", "1", "2", "3", "4"])
