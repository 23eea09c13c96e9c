"""The report of a kill run: every kill, what the checker found, and whether the run was hard enough to count."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.chaos.checker import Verdict

_SHOWN = 12


@dataclass(frozen=True)
class Kill:
    """One kill -9."""

    at: float
    """Seconds since the first order was sent."""
    role: str
    worker: str
    owned: tuple[str, ...]
    """Connections of the killed connector."""
    in_flight: dict[str, int]
    """Ledger -> writes that it had received and not answered, asked right after the kill."""
    cut: int
    """Writes of the killed worker's own connections that were answered to nobody."""
    working: bool
    """It had finished starting: had partitions."""


@dataclass(frozen=True)
class Needs:
    """What makes a run count."""

    kills_of_each_role: int = 10
    kills_with_a_write_in_flight: int = 20
    outcomes_resolved_by_asking: int = 20


@dataclass
class Report:
    """Everything that a run came to."""

    orders: int
    every: float
    seed: int
    needs: Needs
    kills: list[Kill] = field(default_factory=list)
    verdict: Verdict = field(default_factory=Verdict)
    complete: bool = False
    """Every order arrived before the run's patience ended."""
    seconds: float = 0.0
    unknown: int = 0
    found: int = 0
    """Unknown outcomes that the ledger, asked, knew."""
    repeated: int = 0
    """Unknown outcomes that the ledger, asked, did not know: the same was sent again."""
    unresolved: int = 0
    owners: dict[str, dict[str, int]] = field(default_factory=dict)
    """Connector -> connection -> writes that were answered to it."""
    keys_off: dict[str, bool] = field(default_factory=dict)
    """Ledger -> whether it ignored idempotency keys."""
    outcomes: dict[str, int] = field(default_factory=dict)
    dead: list[str] = field(default_factory=list)
    ended: dict[str, list[int]] = field(default_factory=dict)
    """Worker -> exit codes of ends that were no kill of ours."""
    stopped: dict[str, int] = field(default_factory=dict)
    """Worker -> exit code after SIGTERM at the end."""

    def conditions(self) -> list[tuple[str, str, str, bool]]:
        """Return (condition, needed, seen, holds)."""
        needs, roles = self.needs, Counter(kill.role for kill in self.kills)
        cut = sum(kill.cut > 0 for kill in self.kills)
        owning = sorted(name for name, writes in self.owners.items() if sum(writes.values()))
        rows = [(f"kills of {role}", needs.kills_of_each_role, roles[role]) for role in ("streams", "connectors")]
        rows += [
            ("kills with a write in flight", needs.kills_with_a_write_in_flight, cut),
            ("outcomes resolved by asking", needs.outcomes_resolved_by_asking, self.found + self.repeated),
            ("connectors that owned work", 2, len(owning)),
            ("ledgers with idempotency keys off", len(self.keys_off), sum(self.keys_off.values())),
        ]
        return [(name, f">= {need}", str(seen), seen >= need) for name, need, seen in rows]

    @property
    def valid(self) -> bool:
        """Tell whether the run was hard enough."""
        return all(holds for *_, holds in self.conditions())

    @property
    def clean(self) -> bool:
        """Tell whether nothing was lost, doubled, wrong or out of order."""
        return self.complete and self.verdict.clean and not self.dead and not self.unresolved

    @property
    def code(self) -> int:
        """Return the exit code: 0 clean and valid, 1 something was found, 3 clean but not hard enough to count."""
        return 1 if not self.clean else 0 if self.valid else 3

    def as_json(self) -> str:
        """Return the report as JSON."""
        conditions = [
            {"condition": name, "needed": need, "seen": seen, "holds": holds}
            for name, need, seen, holds in self.conditions()
        ]
        head = {"clean": self.clean, "valid": self.valid, "conditions": conditions}
        return json.dumps({**head, **asdict(self)}, indent=1)

    def as_text(self) -> str:
        """Return the report for people."""
        rows = [
            (f"{kill.at:.0f} s", kill.worker, "" if kill.working else "starting", ", ".join(kill.owned), _counts(kill))
            for kill in self.kills
        ]
        lines = _table(("at", "killed", "", "owned", "writes in flight (its own, cut off)"), rows)
        lines += [
            "",
            *_table(("condition", "needed", "seen", ""), [(*row[:3], _word(row[3])) for row in self.conditions()]),
        ]
        lines += ["", *self._findings()]
        rate = self.orders / self.seconds if self.seconds else 0.0
        lines.append(f"{self.orders} orders in {self.seconds:.0f} s ({rate:.1f}/s), {len(self.kills)} kills")
        lines.append(
            f"unknown outcomes: {self.unknown}, of which {self.found} found done, {self.repeated} found not done and"
            f" sent again, {self.unresolved} open"
        )
        for name, writes in sorted(self.owners.items()):
            lines.append(
                f"{name}: " + ", ".join(f"{connection} {count}" for connection, count in sorted(writes.items()))
            )
        found = self.verdict
        lines.append(
            f"lost {len(found.lost)}, doubled {len(found.doubled)}, wrong {len(found.wrong)}, out of order {len(found.disorder)}, strangers {len(found.strangers)}"
        )
        lines.append(f"{'CLEAN' if self.clean else 'NOT CLEAN'}, {'valid' if self.valid else 'not valid'}")
        return "\n".join(lines) + "\n"

    def _findings(self) -> list[str]:
        found = self.verdict
        rows = [("lost", found.lost), ("doubled", found.doubled), ("wrong", found.wrong)]
        rows += [("out of order", found.disorder), ("stranger", found.strangers), ("dead letter", self.dead)]
        lines = [f"{name}: {text}" for name, texts in rows for text in texts[:_SHOWN]]
        lines += [f"{name} ended by itself: {codes}" for name, codes in self.ended.items() if codes]
        return lines if self.complete else [*lines, "not every order arrived in time"]


def _counts(kill: Kill) -> str:
    there = ", ".join(f"{ledger} {count}" for ledger, count in kill.in_flight.items())
    return f"{there} ({kill.cut})"


def _word(holds: bool) -> str:  # noqa: FBT001 - one value
    return "yes" if holds else "NO"


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    table = [tuple(head), *(tuple(str(cell) for cell in row) for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(head))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
