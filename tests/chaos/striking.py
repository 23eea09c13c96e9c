"""Injects the cells of the fault matrix one step after another, and counts each where it happened."""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp

from tests.chaos.brokers import NODES, Brokers
from tests.chaos.cells import HTTP, Cell, Step
from tests.chaos.rig import Rig

STOPPED = 30.0
"""Seconds that a process is stopped."""
_LOST = 4.0
"""Seconds that held work is left with one broker less before it goes on, and as long until the broker is back."""
_HELD = 25.0
"""Seconds to wait for the rest of a step once one is held: who is held may keep the others from coming by."""
_AGAIN = 20.0
"""Seconds after which a token is refused once more: an owner that is no owner any more may have met the first refusal."""
_MOST_PASSAGES = 3
_LOOK = 0.05
_ACTIONS = {"kill": "kill", "stop": "stop", "broker restart": "hold", "broker lost": "hold"}


class Striker:
    """Arms fault points and sandboxes, hurts brokers, and reads who was hit from what those who were hit wrote."""

    def __init__(
        self,
        rig: Rig,
        session: aiohttp.ClientSession,
        brokers: Brokers | None,
        *,
        seed: int,
        patience: float,
        lag: float,
        after: Callable[[], Awaitable[Any]],
    ) -> None:
        """*patience*: seconds for a step; *lag*: of slow visibility; *after* is awaited whenever somebody was hit."""
        self.injected: Counter[Cell] = Counter()
        self.missed: list[Cell] = []
        self.seconds: list[tuple[Step, float]] = []
        self.points = rig.folder / "points"
        self.points.mkdir()
        self._rig, self._session, self._brokers, self._after = rig, session, brokers, after
        self._dice = random.Random(seed)
        self._patience, self._lag = patience, lag
        self._read = 0
        self._hits: dict[str, dict[str, Any]] = {}
        self._turn = 0
        self._refused: dict[str, float] = {}
        """When a token was refused last, by the name of the cell that waits for a new one."""

    async def run(self, steps: Sequence[Step]) -> None:
        """Inject every step; what was never hit is in `missed`."""
        for number, step in enumerate(steps, start=1):
            began = time.monotonic()
            await self._one(step)
            self.missed += [cell for cell in step.cells if not self.injected[cell]]
            self.seconds.append((step, time.monotonic() - began))
            done = ", ".join(f"{cell} ({self.injected[cell]})" for cell in step.cells)
            sys.stderr.write(f"step {number}/{len(steps)}, {time.monotonic() - began:.0f} s: {done}\n")

    async def _one(self, step: Step) -> None:
        if step.fault == "slow visibility":
            await self._hide(step)
        elif step.fault in HTTP:
            await self._strike(step)
        elif step.fault == "kill":
            await self._kill(step)
        elif step.fault == "stop":
            await self._stop(step)
        else:
            await self._outage(step)

    # -- at points of our own code -------------------------------------------------------------------------------------

    async def _arm(self, cells: Sequence[Cell]) -> None:
        for cell in cells:
            rare = cell.point.startswith(("tokens", "cursor", "event", "ask"))
            passage = 1 if rare else self._dice.randint(1, _MOST_PASSAGES)
            fault = {"point": cell.point, "label": cell.label, "passage": passage, "action": _ACTIONS[cell.fault]}
            new = self.points / f"{cell.name}.new"
            new.write_text(json.dumps(fault), encoding="utf-8")
            new.rename(self.points / f"{cell.name}.armed")
            if cell.point.startswith("tokens"):
                await self._refuse(cell)

    async def _refuse(self, cell: Cell) -> None:
        """Have a new token asked for: the old one is refused."""
        self._refused[cell.name] = time.monotonic()
        await self._post(cell.label, "strikes", {"expired_token": 1})

    async def _wait(self, cells: Sequence[Cell]) -> None:
        """Let a moment pass in which somebody may come by one of *cells*."""
        await asyncio.sleep(_LOOK)
        for cell in cells:
            if time.monotonic() - self._refused.get(cell.name, math.inf) > _AGAIN and cell.name not in self._hits:
                await self._refuse(cell)

    def _disarm(self, cells: Sequence[Cell]) -> None:
        for cell in cells:
            (self.points / f"{cell.name}.armed").unlink(missing_ok=True)

    def _hit(self, cells: Sequence[Cell]) -> list[Cell]:
        """Return those of *cells* that somebody came by, by what he wrote before it hurt."""
        log = self.points / "hits.jsonl"
        if log.exists():
            lines = log.read_text(encoding="utf-8").splitlines()
            for line in lines[self._read :]:
                hit = json.loads(line)
                self._hits[hit["name"]] = hit
            self._read = len(lines)
        return [cell for cell in cells if cell.name in self._hits]

    async def _until_hit(self, cells: Sequence[Cell], seconds: float) -> list[Cell]:
        until = time.monotonic() + seconds
        while True:
            found = self._hit(cells)
            if len(found) == len(cells) or time.monotonic() > until:
                return found
            await self._wait(cells)

    def _count(self, cells: Sequence[Cell]) -> None:
        for cell in cells:
            self.injected[cell] += 1

    async def _kill(self, step: Step) -> None:
        await self._arm(step.cells)
        hit = await self._until_hit(step.cells, self._patience)
        self._disarm(step.cells)
        self._count(hit)
        await self._after()

    async def _stop(self, step: Step) -> None:
        await self._arm(step.cells)
        waiting, until = list(step.cells), time.monotonic() + self._patience
        stopped: dict[Cell, float] = {}
        while (waiting and time.monotonic() < until) or stopped:
            for cell in self._hit(waiting):
                waiting.remove(cell)
                stopped[cell] = self._hits[cell.name]["at"] + STOPPED
            for cell, end in list(stopped.items()):
                if time.time() >= end:
                    self._go_on(cell)
                    del stopped[cell]
                    await self._after()
            if not waiting or time.monotonic() < until:
                await self._wait(waiting)
        self._disarm(step.cells)

    def _go_on(self, cell: Cell) -> None:
        pid = int(self._hits[cell.name]["pid"])
        try:
            if Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "T":
                self._count([cell])
            os.kill(pid, signal.SIGCONT)
        except (FileNotFoundError, ProcessLookupError):  # died otherwise meanwhile: this was no stop of 30 s
            return

    # -- brokers -------------------------------------------------------------------------------------------------------

    async def _outage(self, step: Step) -> None:
        """Hold work at its points, take the brokers away, let it go on meanwhile, and bring them back."""
        if self._brokers is None:
            raise RuntimeError("this run has no brokers of its own")
        waiting, until = list(step.cells), time.monotonic() + self._patience
        while waiting and time.monotonic() < until:
            await self._arm(waiting)
            if not await self._first(waiting, until):
                break
            held = await self._until_hit(waiting, _HELD)
            self._disarm(waiting)
            held = self._hit(waiting)
            await self._hurt(step.fault, self._brokers, held)
            self._count(held)
            waiting = [cell for cell in waiting if cell not in held]
            until = max(until, time.monotonic() + self._patience / 2)
        self._disarm(step.cells)
        await self._after()

    async def _first(self, cells: Sequence[Cell], until: float) -> bool:
        while not self._hit(cells):
            if time.monotonic() > until:
                return False
            await self._wait(cells)
        return True

    async def _hurt(self, fault: str, brokers: Brokers, held: Sequence[Cell]) -> None:
        if fault == "broker restart":
            restarting = asyncio.create_task(brokers.restart(1.0))
            await asyncio.sleep(0.5)
            self._release(held)
            await restarting
            return
        lost = self._turn = (self._turn + 1) % NODES
        await brokers.lose(lost)
        self._release(held)
        await asyncio.sleep(_LOST)
        await brokers.back(lost)
        await asyncio.sleep(_LOST)

    def _release(self, cells: Sequence[Cell]) -> None:
        for cell in cells:
            (self.points / f"{cell.name}.go").touch()

    # -- platforms -----------------------------------------------------------------------------------------------------

    async def _post(self, system: str, what: str, body: dict[str, Any]) -> dict[str, Any]:
        async with self._session.post(f"{self._rig.sandboxes[system]}/_sandbox/{what}", json=body) as reply:
            reply.raise_for_status()
            found: dict[str, Any] = await reply.json()
            return found

    async def _counted(self, system: str) -> dict[str, int]:
        async with self._session.get(f"{self._rig.sandboxes[system]}/_sandbox/faults") as reply:
            found: dict[str, int] = (await reply.json())["injected"]
            return found

    async def _strike(self, step: Step) -> None:
        knobs = {cell: HTTP[cell.fault] for cell in step.cells}
        before = {cell: (await self._counted(cell.label)).get(knobs[cell], 0) for cell in step.cells}
        for cell in step.cells:
            await self._post(cell.label, "strikes", {knobs[cell]: 1})
        until = time.monotonic() + self._patience
        while time.monotonic() < until:
            for cell in step.cells:
                self.injected[cell] = (await self._counted(cell.label)).get(knobs[cell], 0) - before[cell]
            if all(self.injected[cell] for cell in step.cells):
                return
            await asyncio.sleep(4 * _LOOK)

    async def _hide(self, step: Step) -> None:
        """Lose the answer of a write while searches do not show it yet; counted once a search really missed something."""
        knob, systems = "visibility_lag_s", [cell.label for cell in step.cells]
        before = {system: (await self._counted(system)) for system in systems}
        for system in systems:
            await self._post(system, "faults", {knob: self._lag})
            await self._post(system, "strikes", {"reset_after_commit": 1})
        began = time.monotonic()
        while time.monotonic() - began < self._patience + self._lag:
            for cell in step.cells:
                now = await self._counted(cell.label)
                lost, hidden = (
                    now.get(name, 0) - before[cell.label].get(name, 0) for name in ("reset_after_commit", knob)
                )
                self.injected[cell] = min(lost, hidden)
            if time.monotonic() - began > self._lag and all(self.injected[cell] for cell in step.cells):
                break
            await asyncio.sleep(1.0)
        for system in systems:
            await self._post(system, "faults", {knob: 0.0})
