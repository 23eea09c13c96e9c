"""What a check found wrong or noteworthy about an order."""

from __future__ import annotations

from typing import Literal

import msgspec

CODES = (
    "adopted_differs",
    "advance_returned",
    "alike",
    "ambiguous_document",
    "before_start",
    "closed_period",
    "conflict",
    "copy",
    "credit_left",
    "credit_unapplied",
    "currency_differs",
    "disputed",
    "document_edited",
    "document_ended",
    "double",
    "drift",
    "made_otherwise",
    "merged",
    "merging",
    "not_allowed",
    "order_deleted",
    "paid_edit",
    "payment_differs",
    "payment_left",
    "rejected",
    "reverted",
    "rounding",
    "status_differs",
    "totals_differ",
    "undo_left",
    "undone",
    "unmapped_status",
    "unseen_account",
    "unsupported",
)
"""Every code a check or a refused write can have: their number is bounded, and each has a series from the start."""


class Finding(msgspec.Struct, frozen=True, order=True, omit_defaults=True):
    """One finding; `block` stops planning of the order, `warn` only shows it."""

    code: str
    severity: Literal["block", "warn"]
    message: str
    subject: str = ""
    next_step: str = ""
