"""Outcomes as a table: one row per file and way."""

from __future__ import annotations

from collections.abc import Iterable

from tests.hostile.play import Outcome

HEADS = ("file", "way", "entries", "rejected", "accepted", "dead-lettered", "wrong", "slowest ms", "most MB")


def lines(outcomes: Iterable[Outcome]) -> list[str]:
    """Return the table, and below it a line for each play that went wrong."""
    groups: dict[tuple[str, str], list[Outcome]] = {}
    for one in outcomes:
        groups.setdefault((one.case.file, one.way), []).append(one)
    rows = [_row(file, way, found) for (file, way), found in groups.items()]
    wrong = [
        f"wrong: {one.case.name}, {one.way}: {one.wrong}" for found in groups.values() for one in found if one.wrong
    ]
    return ["| " + " | ".join(HEADS) + " |", "|---" * len(HEADS) + "|", *rows, *wrong]


def _row(file: str, way: str, found: list[Outcome]) -> str:
    verdicts = [one.verdict for one in found]
    kept = verdicts.count("accepted") + verdicts.count("held")
    slowest = max(one.seconds for one in found) * 1000
    most = max(one.memory for one in found) / 1_048_576
    cells = (
        len(found),
        verdicts.count("rejected"),
        kept,
        verdicts.count("dead letter"),
        sum(bool(one.wrong) for one in found),
    )
    return f"| {file} | {way} | " + " | ".join(map(str, cells)) + f" | {slowest:.0f} | {most:.1f} |"
