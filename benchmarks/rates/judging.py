"""Figures of one job, judged where there is a goal."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.figures import Figure


@dataclass(frozen=True)
class Judge:
    """Makes the figures of *job*."""

    job: str

    def plain(self, what: str, value: float, unit: str) -> Figure:
        """Return a figure that has no goal."""
        return Figure(job=self.job, what=what, value=value, unit=unit)

    def at_most(self, what: str, value: float, unit: str, goal: float) -> Figure:
        """Return a figure that must not exceed *goal*."""
        return Figure(job=self.job, what=what, value=value, unit=unit, goal=f"<= {goal:g}", met=value <= goal)

    def at_least(self, what: str, value: float, unit: str, goal: float) -> Figure:
        """Return a figure that must reach *goal*."""
        return Figure(job=self.job, what=what, value=value, unit=unit, goal=f">= {goal:g}", met=value >= goal)

    def share(self, figure: Figure, against: str, other: float, at_least: float) -> Figure:
        """Return *figure* with its ratio to *other*, which must reach *at_least*."""
        ratio = figure.value / other
        return _held(figure, against, ratio, f">= {at_least:g}", met=ratio >= at_least)

    def slower(self, figure: Figure, against: str, other: float, at_most: float) -> Figure:
        """Return *figure* with its ratio to *other*, which must not exceed *at_most*."""
        ratio = figure.value / other
        return _held(figure, against, ratio, f"<= {at_most:g}", met=ratio <= at_most)


def _held(figure: Figure, against: str, ratio: float, goal: str, *, met: bool) -> Figure:
    return Figure(
        job=figure.job, what=figure.what, value=figure.value, unit=figure.unit, against=against, ratio=ratio,
        goal=goal, met=met,
    )  # fmt: skip
