"""What every benchmark answers: figures, what they are held against, and the machine they come from."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import psutil

if TYPE_CHECKING:
    from collections.abc import Sequence

_COLUMNS = ("job", "what", "value", "unit", "ratio", "against", "goal", "met")
_RIGHT = ("value", "ratio", "goal")


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One measured value.

    `goal` is what `ratio`, or without one `value`, has to reach; whether it did (`met`) the benchmark says: less may
    be better.
    """

    job: str
    what: str
    value: float
    unit: str
    against: str = ""
    ratio: float | None = None
    goal: float | str | None = None
    met: bool | None = None


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where figures come from; *load* is the one-minute average before the run."""

    processor: str
    cores: int
    memory_gib: int
    system: str
    python: str
    load: float


def held_against(figure: Figure, against: str, other: float, at_least: float | None = None) -> Figure:
    """Return *figure* with its ratio to *other*, which has to be *at_least* that where it is given."""
    share = figure.value / other
    met = None if at_least is None else share >= at_least
    return msgspec.structs.replace(figure, against=against, ratio=share, goal=at_least, met=met)


def machine() -> Machine:
    """Return the machine of this process."""
    return Machine(
        processor=_processor(),
        cores=os.cpu_count() or 1,
        memory_gib=round(psutil.virtual_memory().total / 2**30),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        load=round(os.getloadavg()[0], 2),
    )


def _processor() -> str:
    described = Path("/proc/cpuinfo")
    lines = described.read_text(encoding="utf-8").splitlines() if described.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def table(figures: Sequence[Figure]) -> str:
    """Return one line per figure, columns aligned."""
    rows = [_COLUMNS, *(tuple(_cell(getattr(figure, name)) for name in _COLUMNS) for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if name in _RIGHT else cell.ljust(width)
            for cell, width, name in zip(row, widths, _COLUMNS, strict=True)
        ).rstrip()
        for row in rows
    )


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "NO"
    if isinstance(value, (int, float)):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"  # noqa: PLR2004  three digits tell enough
    return str(value)


def write(path: Path, figures: Sequence[Figure]) -> None:
    """Write *figures* as a JSON list."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=1))


def read(path: Path) -> list[Figure]:
    """Return what `write` wrote."""
    return msgspec.json.decode(path.read_bytes(), type=list[Figure])


def exit_code(figures: Sequence[Figure]) -> int:
    """Return 1 when a goal was missed, else 0; a benchmark that could not measure ends with 2 or an exception."""
    return int(any(figure.met is False for figure in figures))
