"""The report of a run of the fault matrix: the table of what was injected, what the checker found, one last line."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.chaos.cells import BROKERS, HTTP, PROCESS, REASONS, SYSTEMS, Cell, every
from tests.chaos.checker import Verdict

_SHOWN = 12
_LEFT, _NEVER = ".", "-"


@dataclass
class MatrixReport:
    """Everything that a run came to."""

    seed: int
    wanted: Sequence[Cell]
    injected: Mapping[Cell, int] = field(default_factory=Counter)
    verdict: Verdict = field(default_factory=Verdict)
    complete: bool = False
    """Every order arrived before the run's patience ended."""
    orders: int = 0
    seconds: float = 0.0
    judged: int = 0
    """Records that were compared with the offsets committed at the time."""
    unknown: int = 0
    found: int = 0
    repeated: int = 0
    unresolved: int = 0
    dead: list[str] = field(default_factory=list)
    ended: dict[str, list[int]] = field(default_factory=dict)
    """Worker -> exit codes of ends that were no kill of ours: 1 while no broker answers is what it is to do."""

    @property
    def missed(self) -> list[Cell]:
        """Return the cells that were to be injected and were not."""
        return [cell for cell in self.wanted if not self.injected.get(cell)]

    @property
    def clean(self) -> bool:
        """Tell whether nothing was found."""
        return self.complete and self.verdict.clean and not self.dead and not self.unresolved

    @property
    def code(self) -> int:
        """Return the exit code: 0 clean and nothing left out, 1 else."""
        return 0 if self.clean and not self.missed else 1

    def as_json(self) -> str:
        """Return the report as JSON."""
        cells = [
            {"fault": cell.fault, "at": cell.row, "platform": cell.platform, "injected": self.injected.get(cell, 0)}
            for cell in self.wanted
        ]
        names = ("seed", "complete", "orders", "seconds", "judged", "unknown", "found", "repeated", "unresolved")
        figures = {name: getattr(self, name) for name in (*names, "dead", "ended")}
        head = {"ok": self.code == 0, "summary": self.summary(), **figures}
        return json.dumps({**head, "verdict": asdict(self.verdict), "cells": cells}, indent=1) + "\n"

    def as_text(self) -> str:
        """Return the report for people; the last line is the summary."""
        lines = [*self._points(), "", *self._answers(), ""]
        lines += [f"no such cells: {what}: {why}" for what, why in REASONS]
        lines += ["", *self._findings()]
        lines.append(
            f"{self.orders} orders; {self.unknown} outcomes that nobody knew: {self.found} found done,"
            f" {self.repeated} sent again, {self.unresolved} open; {self.judged} records held against committed offsets"
        )
        return "\n".join([*lines, self.summary()]) + "\n"

    def summary(self) -> str:
        """Return one line that says all."""
        found = self.verdict
        figures = [
            f"{len(self.wanted)} cells, {sum(self.injected.get(cell, 0) for cell in self.wanted)} injected",
            f"{len(self.missed)} missed, {len(found.lost)} lost, {len(found.doubled)} doubled, {len(found.wrong)} wrong",
            f"{len(found.disorder)} out of order, {len(found.early)} committed too early",
            f"{len(found.changed)} changed by a replay, {len(self.dead)} dead letters, {self.seconds:.0f} s",
        ]
        return f"chaos: {'ok' if self.code == 0 else 'failed'}: " + ", ".join(figures)

    def _points(self) -> list[str]:
        faults = (*PROCESS, *BROKERS)
        rows: dict[str, dict[str, list[Cell]]] = {}
        for cell in every():
            if cell.fault in faults:
                rows.setdefault(cell.row, {}).setdefault(cell.fault, []).append(cell)
        order = " ".join(SYSTEMS.values())
        table = [(row, *(self._marks(cells[fault]) for fault in faults)) for row, cells in rows.items()]
        words = {"kill": "SIGKILL", "stop": "SIGSTOP 30 s"}
        head = ("point", *(words.get(fault, fault) for fault in faults))
        legend = f"times injected; five numbers: {order}; {_LEFT} left to the full run, {_NEVER} cannot be"
        return [legend, "", *aligned(head, table)]

    def _marks(self, cells: Sequence[Cell]) -> str:
        if len(cells) == 1 and cells[0].platform == "any":
            return self._mark(cells[0])
        by_label = {cell.label: cell for cell in cells}
        return " ".join(self._mark(by_label[name]) if name in by_label else _NEVER for name in SYSTEMS)

    def _mark(self, cell: Cell) -> str:
        if cell not in self.wanted:
            return _LEFT
        return str(self.injected.get(cell, 0))

    def _answers(self) -> list[str]:
        by_place = {(cell.fault, cell.label): cell for cell in every() if cell.fault in HTTP}
        rows = [
            (fault, *(self._mark(by_place[fault, name]) if (fault, name) in by_place else _NEVER for name in SYSTEMS))
            for fault in HTTP
        ]
        return aligned(("the platform's answer", *SYSTEMS.values()), rows)

    def _findings(self) -> list[str]:
        found = self.verdict
        kinds: dict[str, Iterable[Any]] = {
            "lost": found.lost, "doubled": found.doubled, "wrong": found.wrong, "out of order": found.disorder,
            "stranger": found.strangers, "committed too early": found.early, "changed by a replay": found.changed,
            "dead letter": self.dead, "not injected": self.missed,
        }  # fmt: skip
        lines = [f"{name}: {text}" for name, texts in kinds.items() for text in list(texts)[:_SHOWN]]
        lines += [f"{name} ended by itself: {codes}" for name, codes in self.ended.items() if codes]
        return lines if self.complete else [*lines, "not every order arrived in time"]


def aligned(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return lines of columns."""
    table = [tuple(head), *map(tuple, rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(head))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
