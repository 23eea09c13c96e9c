"""What a portal has to choose from, for the lines that a connection's section lacks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from schemas.connection import Connection
from schemas.platforms.hubspot.platform import STAGES
from schemas.platforms.hubspot.wire import Pipeline, Stage
from streams.sources.base import Choice, Offer, only


def currency_offer(connection: Connection, home: str, others: Sequence[str]) -> dict[str, Offer]:
    """Return the portal's currency where it has one alone and nobody names it: its deals name none."""
    alone = bool(home) and not others and not connection.options.get("currency")
    return {"options.currency": Offer((Choice(home),), home)} if alone else {}


def stage_offers(pipelines: Sequence[Pipeline], kind: str, pipeline: str, words: Iterable[str]) -> dict[str, Offer]:
    """Return the stages that each of *words* may be shown with; those of one *pipeline* if it is named."""
    there = [one for one in pipelines if pipeline in {"", one.id}]
    stages = [stage for one in there for stage in one.stages]
    choices = tuple(
        Choice(stage.id, f"{one.label}: {stage.label}" if len(there) > 1 else stage.label)
        for one in there
        for stage in one.stages
    )
    return {f"stages.{word}": Offer(choices, only(_fitting(stages, kind, word))) for word in words}


def _fitting(stages: Sequence[Stage], kind: str, word: str) -> list[Choice]:
    """Return the stages that are called like *word*, else those that mean what HubSpot's own one means."""
    named = [stage for stage in stages if stage.label.lower() == word.replace("_", " ")]
    own = STAGES[kind].get(word, "")
    meant = [stage for stage in stages if own in {"closedwon", "closedlost"} and stage.closed]
    return [Choice(stage.id) for stage in named or meant if named or stage.won == (own == "closedwon")]
