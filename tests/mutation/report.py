"""Print how many mutants of each file of the core the tests tell from the original, and which they do not.

`make mutation` runs it; it reads what mutmut left under mutants/ and writes the same text to mutants/report.txt.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.stats import status_by_exit_code

MUTANTS = Path("mutants")
_COLUMNS = ("killed", "timeout", "survived", "no tests", "suspicious", "segfault", "not checked")
_FOUND = ("killed", "timeout", "segfault")
_GOAL = 0.9
_TOLD = ("survived", "no tests", "timeout", "suspicious", "segfault")


def _results() -> dict[str, dict[str, str]]:
    """Return file -> mutant -> what became of it."""
    found = {}
    for meta in sorted(MUTANTS.rglob("*.py.meta")):
        exits: dict[str, int | None] = json.loads(meta.read_text(encoding="utf-8"))["exit_code_by_key"]
        if exits:
            name = str(meta.relative_to(MUTANTS)).removesuffix(".meta")
            found[name] = {mutant: status_by_exit_code[code] for mutant, code in exits.items()}
    return found


def _table(results: dict[str, dict[str, str]]) -> Iterator[str]:
    yield f"{'':36}{'mutants':>8}" + "".join(f"{column:>12}" for column in _COLUMNS) + f"{'found':>8}"
    sums: Counter[str] = Counter()
    for name, mutants in results.items():
        counts = Counter(mutants.values())
        sums += counts
        yield _row(name, counts)
    yield _row("all", sums)


def _row(name: str, counts: Counter[str]) -> str:
    checked = counts.total() - counts["not checked"]
    share = f"{sum(counts[column] for column in _FOUND) / checked:.1%}" if checked else "-"
    return f"{name:36}{counts.total():>8}" + "".join(f"{counts[column]:>12}" for column in _COLUMNS) + f"{share:>8}"


def _shown(results: dict[str, dict[str, str]]) -> Iterator[str]:
    for mutants in results.values():
        for mutant, status in mutants.items():
            if status in _TOLD:
                diff = get_diff_for_mutant(mutant).splitlines()
                lines = [line for line in diff if line[:1] in "+-" and line[:3] not in {"+++", "---"}]
                yield "\n".join((f"\n{mutant}: {status}", *lines))


def _shortfall(results: dict[str, dict[str, str]]) -> str:
    """Return what is missing for the core to count as held by its tests; "" when nothing is."""
    sums = Counter(status for mutants in results.values() for status in mutants.values())
    found = sum(sums[column] for column in _FOUND)
    if sums["not checked"] or not sums.total():
        return (
            f"{sums['not checked']} of {sums.total()} mutants were not tried: run it again, it goes on where it stopped"
        )
    if found < _GOAL * sums.total():
        return f"{found} of {sums.total()} mutants were noticed, fewer than {_GOAL:.0%}: test what the list above shows"
    return ""


def main() -> int:
    """Print the table and the diff of every mutant that no test noticed, or that ended otherwise than by a failing test.

    Return 1 when mutants were not tried, or fewer than nine in ten were noticed.
    """
    results = _results()
    text = "\n".join((*_table(results), *_shown(results)))
    (MUTANTS / "report.txt").write_text(text + "\n", encoding="utf-8")
    print(text)
    shortfall = _shortfall(results)
    print(f"mutation: failed: {shortfall}" if shortfall else "mutation: ok")
    return 1 if shortfall else 0


if __name__ == "__main__":
    sys.exit(main())
