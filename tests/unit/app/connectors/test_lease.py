"""Nothing leaves without a fresh proof of ownership."""

from __future__ import annotations

from app.connectors.lease import Lease


def test_a_paused_process_finds_its_lease_gone() -> None:
    now = [100.0]
    lease = Lease(7.0, lambda: now[0])
    began = lease.now()
    now[0] += 6.0
    assert lease.held()
    lease.renew(began)
    now[0] += 1.5
    assert not lease.held(), "a renewal counts from when its call began"


def test_a_late_confirmation_of_an_older_call_shortens_nothing() -> None:
    now = [0.0]
    lease = Lease(7.0, lambda: now[0])
    now[0] = 5.0
    lease.renew(5.0)
    lease.renew(1.0)
    now[0] = 11.0
    assert lease.held()
