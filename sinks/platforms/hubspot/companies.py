"""Companies of buyers, where the connection wants them: found by our own property, made once, never overwritten.

A company that somebody typed does not carry our property, and is not looked for by its name: several may have one name,
and searches miss what was made a moment ago.
"""

from __future__ import annotations

from collections.abc import Sequence

from app.core.talk import Talk
from schemas.facts import Party
from schemas.platforms.hubspot.platform import MARK
from sinks.platforms.hubspot import bodies
from sinks.platforms.hubspot.many import Many
from sinks.platforms.hubspot.talks import BATCH

Made = tuple[str, str, Party | None]
"""Object type, id and buyer of a record."""


class Companies(Many):
    """The company of each buyer, for one record or for many."""

    def companies(self, records: Sequence[Made]) -> Talk[None]:
        """Associate records with the companies of their buyers, which are made when they are missing."""
        if self.connection.options.get("companies") != "yes":
            return
        names = {key: buyer.name.strip() for _, _, buyer in records if buyer and (key := bodies.company_key(buyer))}
        ids = yield from self._known(list(names))
        missing = {key: name for key, name in names.items() if key not in ids}
        ids |= yield from self._new(missing)
        for kind in dict.fromkeys(kind for kind, _, _ in records):
            wanted = [(id_, bodies.company_key(buyer)) for one, id_, buyer in records if one == kind]
            pairs = [(id_, ids[key]) for id_, key in wanted if key in ids]
            yield from self.link_pairs(kind, "companies", pairs, f"link-companies-{kind}")

    def _known(self, keys: Sequence[str]) -> Talk[dict[str, str]]:
        if not keys or (yield from self.lacks("companies", MARK)):
            return {}
        return {one.value(MARK): one.id for one in (yield from self.batch_read("companies", keys, MARK))}

    def _new(self, names: dict[str, str]) -> Talk[dict[str, str]]:
        """Make companies and return their ids; whoever makes the same one meanwhile makes it once."""
        rows = [bodies.marked(key, {"name": name}) for key, name in names.items()]
        found: dict[str, str] = {}
        for start in range(0, len(rows), BATCH):
            some = rows[start : start + BATCH]
            made, refused = yield from self.many("companies", "upsert", some, f"companies-{start}")
            if refused:
                raise next(iter(refused.values()))
            found |= {key: str(row["id"]) for key, row in made.items()}
        return found
