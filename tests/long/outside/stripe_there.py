"""localstripe as a company at Stripe: started unmodified on the loopback address, filled through its own API."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

# A made-up key; localstripe wants the prefix of a secret key.
AUTH = {"Authorization": "Bearer sk_made-up"}
_START_SECONDS = 60
# `python -m localstripe` would listen on every address of the machine.
_SERVE = "import sys; from aiohttp import web; from localstripe.server import app; web.run_app(app, host='127.0.0.1', port=int(sys.argv[1]))"
_CARDS = {"visa": "4242424242424242", "asks the holder": "4000002500003155"}


class There:
    """What people and other programs do at Stripe."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str) -> dict[str, Any]:
        return self._call("GET", path)

    def post(self, path: str, form: Mapping[str, Any]) -> dict[str, Any]:
        return self._call("POST", path, form)

    def delete(self, path: str) -> None:
        self._call("DELETE", path)

    def _call(self, method: str, path: str, form: Mapping[str, Any] | None = None) -> dict[str, Any]:
        reply = requests.request(method, self.url + path, data=form, headers=AUTH, timeout=30)
        assert reply.ok, reply.text
        found: dict[str, Any] = reply.json() if reply.content else {}
        return found

    def customer(self, **form: str) -> str:
        return str(self.post("/v1/customers", form)["id"])

    def payment(self, cents: int, **form: str) -> dict[str, Any]:
        """Take money with a card, at once."""
        card = {"payment_method": "pm_card_visa", "confirm": "true"}
        return self.post("/v1/payment_intents", {"amount": cents, "currency": "eur", **card, **form})

    def invoice(self, cents: int, card: str = "visa") -> str:
        """Bill a new subscriber, the only way to an invoice that there is; open while the bank *asks the holder*."""
        values = {"number": _CARDS[card], "exp_month": 12, "exp_year": 2030, "cvc": "123"}
        form = {"type": "card", **{f"card[{name}]": value for name, value in values.items()}}
        method, customer = self.post("/v1/payment_methods", form)["id"], self.customer(email="sub@example.com")
        self.post(f"/v1/payment_methods/{method}/attach", {"customer": customer})
        self.post(f"/v1/customers/{customer}", {"invoice_settings[default_payment_method]": method})
        plan = {"amount": cents, "currency": "eur", "interval": "month", "product[name]": "Mugs"}
        made = self.post("/v1/plans", plan)
        items = {"customer": customer, "items[0][plan]": made["id"]}
        return str(self.post("/v1/subscriptions", items)["latest_invoice"])

    def send_webhooks_to(self, name: str, url: str, secret: str) -> None:
        self.post(f"/_config/webhooks/{name}", {"url": url, "secret": secret})


@contextmanager
def running(python: Path, folder: Path) -> Iterator[There]:
    """Run localstripe on *python* until the end of the block; it leaves its pickle in /tmp and never reads it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(python), "-c", _SERVE, str(port)]
    with (folder / "localstripe.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            _wait(process, port)
            yield There(f"http://127.0.0.1:{port}")
        finally:
            process.terminate()


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("localstripe does not listen; its log is beside the test's other files")
