"""Plans as text, as CSV for an accountant and as one JSON document."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from app.planning.plan import Differences, Plan, Row, Total, Trouble

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_COLUMNS = (
    "flow", "order", "number", "target", "action", "document", "amount", "currency", "date", "reason", "existing",
    "asks_first", "follows", "old",
)  # fmt: skip


def neutral(cell: str) -> str:
    """Return *cell* so that no spreadsheet takes it for a formula, whoever typed what is in it."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def as_csv(plans: Iterable[Plan]) -> str:
    """Return every row of *plans* under one line of headings."""
    return rows_as_csv((plan.flow, row) for plan in plans for row in plan.rows)


def rows_as_csv(found: Iterable[tuple[str, Row]]) -> str:
    """Return rows, each with its flow, under one line of headings."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(_COLUMNS)
    for flow, row in found:
        cells = {**msgspec.structs.asdict(row), "flow": flow}
        writer.writerow([neutral(_cell(cells[name])) for name in _COLUMNS])
    return out.getvalue()


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def plan_lines(plan: Plan) -> Iterator[str]:
    """Yield the plan as people read it."""
    yield _head(plan)
    yield from row_lines(plan.rows, plan.totals, plan.findings)
    for lost in plan.conflicts:
        kept = f"{lost.kept!r} of {lost.kept_by or 'a person'} is kept"
        yield _plain(
            f"conflict: {lost.number or lost.order} {lost.field}: {kept}, {lost.lost!r} of {lost.lost_by} lost"
        )
    yield _tail(plan)


def row_lines(rows: Iterable[Row], totals: Sequence[Total], findings: Iterable[Trouble]) -> Iterator[str]:
    """Yield rows, what they add up to, and findings."""
    yield from (_row(row) for row in rows)
    if totals:
        yield "totals"
    for total in totals:
        amount = f"{total.amount:>14} {total.currency}" if total.amount else ""
        old = "older than the start" if total.old else ""
        what = f"  {total.target:<14} {total.action:<7} {total.document:<18} {total.count:>7} {amount:<18} {old}"
        yield what.rstrip()
    for trouble in findings:
        finding = trouble.finding
        word = "blocked" if finding.severity == "block" else "warning"
        yield _plain(f"{word}: {trouble.number or trouble.order} {finding.message.rstrip('.')}; {finding.next_step}.")


def difference_lines(plan: Plan, found: Differences) -> Iterator[str]:
    """Yield what a plan adds, leaves out and says otherwise."""
    yield _head(plan)
    yield from difference_rows(found)
    if not found:
        yield "Nothing differs from the plan that was shown last."
    yield _tail(plan)


def difference_rows(found: Differences) -> Iterator[str]:
    """Yield one line per row that was added or removed, two per row that changed."""
    yield from (f"+{_row(row)}" for row in found.added)
    yield from (f"-{_row(row)}" for row in found.removed)
    for both in found.changed:
        yield f"<{_row(both.before)}"
        yield f">{_row(both.now)}"


def _head(plan: Plan) -> str:
    counts = f"{plan.orders} orders, {plan.writes} writes, {plan.adopted} adopted, {plan.blocked} blocked"
    more = {"to be read first": plan.unread, "for a person": plan.disputed, "older than the start": len(plan.old)}
    return f"{plan.flow} ({plan.mode}): " + ", ".join([counts, *(f"{n} {what}" for what, n in more.items() if n)])


def _tail(plan: Plan) -> str:
    way = "" if plan.mode == "live" else f"; to write it: o2c flows go-live {plan.flow} --plan {plan.digest}"
    old = f"; what is older than the start: o2c flows backfill {plan.flow} --plan {plan.digest}" if plan.old else ""
    return f"plan {plan.digest}{way}{old}"


def _row(row: Row) -> str:
    amount = f"{row.amount:>12} {row.currency}" if row.amount else " " * 16
    first = " (looks for an earlier one first)" if row.asks_first else ""
    first += " (older than the start)" if row.old else ""
    existing = f" [{row.existing}]" if row.existing else ""
    what = f"{row.target:<14} {row.action:<7} {row.document:<18} {amount}"
    return _plain(f"  {row.number or row.order:<16} {what}  {row.reason}{existing}{first}")


def _plain(line: str) -> str:
    """Return *line* without what would move the cursor of a terminal: numbers and notes are typed by anybody."""
    return "".join(letter if letter.isprintable() else "?" for letter in line)
