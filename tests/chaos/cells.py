"""The fault matrix as data: where, what, at which platform; which of these cells exist, and why the others do not."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

SYSTEMS = {"shop": "shopify", "crm": "hubspot", "books": "xero", "qbo": "quickbooks_online", "pay": "stripe"}
"""Connection -> platform."""
STREAMS = ("outs", "changelog", "store", "offsets")
"""Steps of a batch: produce what others read, produce the changelog, write the state, commit the offsets."""
CONNECTORS = ("inbox", "intent", "send", "outcome", "result", "ask", "event", "cursor")
"""Steps of a connection: take a command, journal an intent, HTTP write, journal its outcome, reply to the streams, HTTP
read, publish what was read, keep how far a sweep got."""
TRANSLATOR = ("translated", "deliveries")
"""Steps of the connectors with webhooks: publish what deliveries mean, commit that they were taken."""
ROTATING = ("books", "qbo")
"""Connections whose refresh token changes with each use, and is stored before the new one is used."""
PROCESS = ("kill", "stop")
BROKERS = ("broker restart", "broker lost")
HTTP = {
    "reset before commit": "reset_before_commit",
    "reset after commit": "reset_after_commit",
    "reset, committed later": "slow_commit",
    "reply after time-out": "late_reply",
    "429": "rate_429",
    "401 in mid-batch": "expired_on_write",
    "5xx": "error_5xx",
    "5xx after commit": "error_5xx_after_commit",
    "HTML with 200": "html_200",
    "slow visibility": "reset_after_commit",
}
"""Fault -> knob of the sandbox. Slow visibility: the answer of a write is lost and searches do not show it yet."""
NO_LAG = "its lists, which o2c asks, show a write at once"
REASONS = (
    ("streams, gateway, translation x a platform", "these steps know no platform: they stand in the column `any`"),
    ("a kill point x an HTTP fault", "a platform's answer meets a connector between `send.before` and `send.after` alone"),
    ("tokens x shopify, hubspot, stripe", "they use a plain token, which is never replaced"),
    ("stripe x slow visibility", NO_LAG),
)  # fmt: skip


@dataclass(frozen=True, order=True)
class Cell:
    """One fault at one place."""

    fault: str
    point: str
    """`STEP.before` or `STEP.after`; the platform's answer for an HTTP fault."""
    label: str = ""
    """What the point is told: a connection, `streams` or `connectors` where both have the step, else ""."""

    @property
    def role(self) -> str:
        """Return whom it hits."""
        step = self.point.partition(".")[0]
        if self.fault in HTTP:
            return "platform"
        if step == "intake":
            return "gateway"
        return "streams" if step in STREAMS and self.label != "connectors" else "connectors"

    @property
    def platform(self) -> str:
        """Return the column of the table."""
        return SYSTEMS.get(self.label, "any")

    @property
    def row(self) -> str:
        """Return the row of the table."""
        return "the platform's answer" if self.fault in HTTP else f"{self.role} {self.point}"

    @property
    def name(self) -> str:
        """Return a name that can be a file's."""
        words = f"{self.fault} {self.point} {self.label}".replace(",", "")
        return "-".join(words.split())

    def __str__(self) -> str:
        return f"{self.fault} at {self.row}" + (f" of {self.label}" if self.label in SYSTEMS else "")


def points() -> Iterator[tuple[str, str]]:
    """Yield every point with its label."""
    places = [(step, "streams" if step == "offsets" else "") for step in STREAMS]
    places += [("intake", ""), ("offsets", "connectors"), *((step, "") for step in TRANSLATOR)]
    places += [(step, system) for step in CONNECTORS for system in SYSTEMS]
    places += [("tokens", system) for system in ROTATING]
    for step, label in places:
        yield f"{step}.before", label
        yield f"{step}.after", label


def every() -> list[Cell]:
    """Return every cell that exists."""
    cells = [Cell(fault, point, label) for fault in (*PROCESS, *BROKERS) for point, label in points()]
    answers = [Cell(fault, "answer", system) for fault in HTTP for system in SYSTEMS]
    return cells + [cell for cell in answers if (cell.fault, cell.label) != ("slow visibility", "pay")]


def covering(seed: int) -> list[Cell]:
    """Return a subset with every point killed, every step stopped, every broker fault at each role, every HTTP fault."""
    dice = random.Random(seed)
    by_point: defaultdict[str, list[Cell]] = defaultdict(list)
    for cell in every():
        by_point[f"{cell.fault} {cell.role} {cell.point}"].append(cell)
    turn = _Turn(dice)
    chosen = []
    for key in sorted(by_point):
        cells = by_point[key]
        fault = cells[0].fault
        if fault in HTTP:
            chosen += cells
        elif fault == "kill":
            chosen.append(turn.next(cells))
    chosen += [turn.next(_one_side(by_point, "stop", step, dice)) for step in _steps()]
    for fault in BROKERS:
        for step in _steps():
            chosen += _outage(_one_side(by_point, fault, step, dice), turn)
    return sorted(set(chosen))


def _steps() -> list[tuple[str, str]]:
    return list(dict.fromkeys((cell.role, cell.point.partition(".")[0]) for cell in every() if cell.fault == "kill"))


def _one_side(by_point: dict[str, list[Cell]], fault: str, place: tuple[str, str], dice: random.Random) -> list[Cell]:
    role, step = place
    return by_point[f"{fault} {role} {step}.{dice.choice(('before', 'after'))}"]


def _outage(cells: Sequence[Cell], turn: _Turn) -> list[Cell]:
    """Return what an outage hits at one step: one connection; what is rare (tokens, cursors) is left to the full run."""
    return [] if cells[0].point.startswith(("tokens", "cursor")) else [turn.next(cells)]


class _Turn:
    """Gives each platform its turn."""

    def __init__(self, dice: random.Random) -> None:
        self._order = dice.sample(sorted(SYSTEMS), len(SYSTEMS))

    def next(self, cells: Iterable[Cell]) -> Cell:
        known = {cell.label: cell for cell in cells}
        label = next((name for name in self._order if name in known), next(iter(known)))
        if label in self._order:
            self._order.remove(label)
            self._order.append(label)
        return known[label]


def short(seed: int) -> list[Cell]:
    """Return a few cells of every kind that need no broker of their own: what fits into the tests of every change."""
    dice = random.Random(seed)
    kills = ["outs.after", "changelog.after", "intent.after", "send.after", "result.before", "intake.after"]
    chosen = [cell for cell in covering(seed) if cell.fault == "kill" and cell.point in kills]
    answers = [cell for cell in every() if cell.fault in HTTP and cell.fault != "slow visibility"]
    return chosen + [
        dice.choice([one for one in answers if one.fault == fault]) for fault in HTTP if fault != "slow visibility"
    ]


@dataclass(frozen=True)
class Step:
    """Cells that are injected at the same time."""

    fault: str
    cells: tuple[Cell, ...]


def schedule(cells: Iterable[Cell], seed: int, *, at_once: bool = False) -> list[Step]:
    """Return the steps of a run in the order of *seed*: what hits different processes goes together.

    *at_once*: all answers are spoiled in one step, whatever the fault.
    """
    dice = random.Random(seed)
    by_fault: defaultdict[str, list[Cell]] = defaultdict(list)
    for cell in sorted(cells):
        answer = at_once and cell.fault in HTTP and cell.fault != "slow visibility"
        by_fault["429" if answer else cell.fault].append(cell)
    steps: list[Step] = []
    for fault, mine in by_fault.items():
        dice.shuffle(mine)
        if fault in HTTP:
            steps.append(Step(fault, tuple(mine)))
        elif fault in PROCESS:
            steps += _side_by_side(fault, mine)
        else:
            steps += _together(fault, mine, dice)
    dice.shuffle(steps)
    return steps


def _side_by_side(fault: str, cells: Sequence[Cell]) -> Iterator[Step]:
    """One process of each role is hit at a time, and two connectors when they are only stopped."""
    lanes: defaultdict[str, list[Cell]] = defaultdict(list)
    for cell in cells:
        second = fault == "stop" and cell.role == "connectors" and len(lanes["connectors"]) > len(lanes["second"])
        lanes["second" if second else cell.role].append(cell)
    for number in range(max(map(len, lanes.values()), default=0)):
        found = tuple(lane[number] for lane in lanes.values() if number < len(lane))
        yield Step(fault, _distinct(found))
        if rest := tuple(cell for cell in found if cell not in _distinct(found)):
            yield Step(fault, rest)


def _distinct(cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """Return those of different connections: one that is stopped cannot be hit twice."""
    return tuple({cell.label or cell.role: cell for cell in cells}.values())


def _together(fault: str, cells: Sequence[Cell], dice: random.Random) -> Iterator[Step]:
    """One outage meets every connection once, the gateway once, and as many partitions as there are points."""
    waiting = list(cells)
    while waiting:
        taken: dict[str, Cell] = {}
        for cell in waiting:
            taken.setdefault(
                cell.label if cell.label in SYSTEMS else cell.point if cell.role == "streams" else cell.role, cell
            )
        # Who holds the connectors' offsets back holds back all that the other points wait for.
        if len(taken) > 1:
            taken = {key: cell for key, cell in taken.items() if not cell.point.startswith("offsets")} or taken
        waiting = [cell for cell in waiting if cell not in taken.values()]
        yield Step(fault, tuple(dice.sample(list(taken.values()), len(taken))))
