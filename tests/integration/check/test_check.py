"""`o2c check` against running sandboxes, with the tokens in a real Kafka."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from aiokafka import AIOKafkaConsumer

from app.cli import main
from app.cli.topics import apply_topics
from app.config.load import load
from app.connectors.bus import group_of
from app.demo.stack import SYSTEMS
from app.sandbox.__main__ import find
from app.sandbox.base import Sandbox

pytestmark = [pytest.mark.sandbox, pytest.mark.kafka]
FLOW = """
[[tenant.flows]]
name = "orders"
key_giver = "shop"
[[tenant.flows.targets]]
connection = "crm"
order = true
[[tenant.flows.targets]]
connection = "books"
document = "invoice"
[[tenant.flows.targets]]
connection = "qbo"
document = "sales_receipt"
"""


class Company:
    """The five systems of the demo in this process, and a configuration for them."""

    def __init__(self, kafka: str, folder: Path) -> None:
        self.kafka, self.folder, self.prefix = kafka, folder, f"t{uuid4().hex[:12]}."
        self.sandboxes: dict[str, Sandbox] = {
            system.connection: find(system.platform)(system.account) for system in SYSTEMS
        }
        self.urls: dict[str, str] = {}

    async def start(self) -> None:
        for name, sandbox in self.sandboxes.items():
            self.urls[name] = await sandbox.start()

    async def stop(self) -> None:
        for sandbox in self.sandboxes.values():
            await sandbox.stop()

    def write(self, **changes: dict[str, Any]) -> Path:
        """Write the configuration; *changes* replace keys of a connection's section."""
        head = [
            'key = "any long random text"',
            f'[kafka]\nbootstrap = "{self.kafka}"\npartitions = 2',
            f'[topics]\nprefix = "{self.prefix}"',
            '[[tenant]]\nname = "acme"',
        ]
        for system in SYSTEMS:
            section: dict[str, Any] = {
                "platform": system.platform, "account": system.account, "allow_private": True,
                "base_url": self.urls[system.connection] + system.path, "secrets": dict(system.secrets),
                "accounts": dict(system.accounts), "taxes": dict(system.taxes), "stages": dict(system.stages),
                **({"time_zone": "Europe/Berlin"} if system.connection in {"crm", "shop"} else {}), **changes.get(system.connection, {}),
            }  # fmt: skip
            head += [
                f"[tenant.connections.{system.connection}]",
                *(f"{key} = {_toml(value)}" for key, value in section.items()),
            ]
        path = self.folder / "o2c.toml"
        path.write_text("\n".join(head) + FLOW)
        return path

    async def check(self, capsys: pytest.CaptureFixture[str], **changes: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Run the command as a person does and return its exit code and what it printed."""
        path = self.write(**changes)
        code = await asyncio.to_thread(main, ["check", "--config", str(path), "--json"])
        return code, json.loads(capsys.readouterr().out)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f'"{key}" = {_toml(item)}' for key, item in value.items()) + " }"
    return json.dumps(value)


@pytest.fixture
async def company(kafka: str, tmp_path: Path) -> AsyncIterator[Company]:
    company = Company(kafka, tmp_path)
    await company.start()
    await apply_topics(load(company.write(), {}))
    yield company
    await company.stop()


def _of(printed: dict[str, Any], code: str) -> list[str]:
    return [problem["message"] for problem in printed["problems"] if problem["code"] == code]


async def test_a_good_configuration_has_no_problem_and_nothing_is_changed_anywhere(
    company: Company, capsys: pytest.CaptureFixture[str]
) -> None:
    company.sandboxes["books"].verbs["set_lock_date"]({"date": "2026-04-30"})
    code, printed = await company.check(capsys)
    assert (printed["problems"], printed["lines"]) == ([], [])
    assert code == 0
    accounts = {row["connection"]: row for row in printed["accounts"]}
    assert {name: row["account"] for name, row in accounts.items()} == {one.connection: one.account for one in SYSTEMS}
    assert accounts["books"]["lock_date"] == "2026-04-30"
    assert "EUR" in accounts["books"]["currencies"]
    changed = {
        entry.operation
        for sandbox in company.sandboxes.values()
        for entry in sandbox.log
        if entry.mutating and not entry.path.startswith(sandbox.token_paths)
    }
    assert changed == set()


async def test_what_every_account_lacks_is_told_with_its_line_and_the_next_step(
    company: Company, capsys: pytest.CaptureFixture[str]
) -> None:
    code, printed = await company.check(
        capsys,
        shop={"account": "other.myshopify.com"},
        crm={"options": {"order_object": "orders"}, "stages": {"paid": "Handed over"}},
        books={"accounts": {"sales": "999", "payments": "090", "rounding": "860"}, "taxes": {"20": "GONE"}},
        qbo={"accounts": {"sales": "1", "payments": "1", "rounding": "1"}},
        pay={"secrets": {"token": "revoked", "webhook_secret": "whsec_demo"}},
    )
    (silent,) = _of(printed, "no_answer")
    assert "renew the secrets of pay" in silent
    assert code == 1
    assert [account["connection"] for account in printed["accounts"]] == ["books", "crm", "qbo", "shop"]
    (other,) = _of(printed, "other_account")
    assert "instead of other.myshopify.com" in other
    assert len(_of(printed, "mapping")) == 3
    assert any("Handed over" in message for message in _of(printed, "unshown_status"))
    assert _of(printed, "unmapped_status") == []
    lines = (company.folder / "o2c.toml").read_text().splitlines()
    for problem in printed["problems"]:
        file, _, line = problem["where"].rpartition(":")
        assert file.endswith("o2c.toml")
        assert 1 <= int(line) <= len(lines)
        assert "; " in problem["message"]
        assert problem["message"].endswith(".")
    (sales,) = (problem for problem in printed["problems"] if "accounts.sales" in problem["message"])
    assert lines[int(sales["where"].rpartition(":")[2]) - 1].startswith("accounts = ")


@pytest.mark.parametrize(
    ("secret", "more", "said"),
    [
        ("sandbox-secret", {}, ""),
        ("wrong", {}, "(bad_client_id)"),
        ("sandbox-secret", {"journal_scopes": "developer.webhooks_journal.subscriptions.read"}, "MISSING_SCOPES"),
    ],
)
async def test_who_cannot_fetch_the_journal_that_is_followed_hears_why(
    company: Company, capsys: pytest.CaptureFixture[str], secret: str, more: dict[str, str], said: str
) -> None:
    secrets = {"token": "pat-demo", "client_id": "sandbox-client", "client_secret": secret}
    code, printed = await company.check(capsys, crm={"secrets": secrets, "options": {"journal": "yes", **more}})
    assert code == 0
    found = _of(printed, "account_setting")
    assert len(found) == bool(said)
    assert all("HubSpot's journal cannot be fetched (" in one and said in one for one in found)
    assert all(one.endswith("; correct client_id and client_secret, or the app's rights.") for one in found)


async def test_a_fresh_token_is_stored_for_the_owner_and_not_asked_for_again(
    company: Company, capsys: pytest.CaptureFixture[str]
) -> None:
    await company.check(capsys)
    asked = [entry for entry in company.sandboxes["books"].log if entry.path.startswith("/connect/token")]
    code, printed = await company.check(capsys)
    again = [entry for entry in company.sandboxes["books"].log if entry.path.startswith("/connect/token")]
    assert (code, printed["problems"], len(asked), len(again)) == (0, [], 1, 1)


async def test_while_connectors_run_only_they_ask_for_tokens(
    company: Company, capsys: pytest.CaptureFixture[str]
) -> None:
    company.write()
    consumer = AIOKafkaConsumer(
        f"{company.prefix}commands", bootstrap_servers=company.kafka, group_id=group_of(company.prefix)
    )
    await consumer.start()
    await consumer.getmany(timeout_ms=100)
    code, printed = await company.check(capsys)
    await consumer.stop()
    assert code == 1
    assert sorted(message.partition(" of ")[2].partition(" ")[0] for message in _of(printed, "no_answer")) == [
        "books",
        "qbo",
    ]
    assert not [entry for entry in company.sandboxes["books"].log if entry.path.startswith("/connect/token")]


async def test_a_ledger_without_the_shops_currency_is_found_before_the_first_sale(
    company: Company, capsys: pytest.CaptureFixture[str]
) -> None:
    books: Any = company.sandboxes["qbo"]
    books.company.settings = replace(books.company.settings, multi_currency=False)
    code, printed = await company.check(capsys)
    assert code == 1
    assert len(_of(printed, "currency")) == 1
    assert _of(printed, "account_setting")


async def test_a_status_that_nobody_mapped_is_told_before_an_order_shows_it(
    company: Company, capsys: pytest.CaptureFixture[str]
) -> None:
    orders = {"options": {"order_object": "orders"}}
    stage = {"label": "Awaiting engraving", "metadata": {"state": "OPEN"}, "displayOrder": 9}
    async with aiohttp.ClientSession(headers={"Authorization": "Bearer pat-demo"}) as session:
        url = f"{company.urls['crm']}/crm/v3/pipelines/orders"
        async with session.get(url) as reply:
            pipeline = (await reply.json())["results"][0]["id"]
        async with session.post(f"{url}/{pipeline}/stages", json=stage) as reply:
            assert reply.status == 201
    code, printed = await company.check(capsys, crm=orders)
    assert (code, len(_of(printed, "unmapped_status"))) == (1, 1)
    assert "'Awaiting engraving', which is not mapped; add it to its statuses." in _of(printed, "unmapped_status")[0]
    mapped = {**orders, "statuses": {"Awaiting engraving": "open"}}
    code, printed = await company.check(capsys, crm=mapped)
    assert _of(printed, "unmapped_status") == []


async def test_where_kafka_is_away_the_other_accounts_are_checked_all_the_same(
    company: Company, capsys: pytest.CaptureFixture[str]
) -> None:
    company.kafka = "127.0.0.1:9"
    code, printed = await company.check(capsys)
    assert code == 1
    assert [row["connection"] for row in printed["accounts"]] == ["crm", "pay", "shop"]
    assert all("does not answer at 127.0.0.1:9; run `o2c kafka status`" in text for text in _of(printed, "no_answer"))


async def test_a_platform_that_is_away_is_a_sentence(company: Company, capsys: pytest.CaptureFixture[str]) -> None:
    await company.sandboxes["crm"].stop()
    code, printed = await company.check(capsys)
    (silent,) = _of(printed, "no_answer")
    assert (code, silent) == (
        1,
        "127.0.0.1 cannot be reached (ClientConnectorError); try again, or correct base_url of crm if it stays so.",
    )


BARE: dict[str, dict[str, Any]] = {
    "books": {"accounts": {}, "taxes": {}},
    "crm": {"account": "...", "time_zone": "UTC", "stages": {}},
    "pay": {"account": "..."},
    "qbo": {"accounts": {}, "taxes": {}},
    "shop": {"time_zone": "UTC"},
}
"""What the sections say before anybody mapped anything."""


def _sold(company: Company, *rates: str) -> None:
    lines = [{"sku": "A", "quantity": 1, "price": "10.00", "tax_rate": rate} for rate in rates]
    company.sandboxes["shop"].verbs["create_order"]({"reference": "SO-1", "lines": lines})


def _named(printed: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {line["name"]: line for line in printed["lines"]}


async def _run(company: Company, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Run the command with the configuration that is there."""
    code = await asyncio.to_thread(main, ["check", "--config", str(company.folder / "o2c.toml"), *words])
    return code, *capsys.readouterr()


async def test_every_missing_line_is_printed_with_what_the_platform_has(
    company: Company, capsys: pytest.CaptureFixture[str]
) -> None:
    _sold(company, "20", "5")
    _, printed = await company.check(capsys, **BARE)
    lines = _named(printed)
    shown = {name: (line["suggested"], line["sure"], len(line["choices"])) for name, line in lines.items()}
    assert shown == {
        "shop.time_zone": ("Europe/Berlin", True, 1),
        "crm.account": ("4711", True, 1),
        "crm.time_zone": ("Europe/Berlin", True, 1),
        "books.accounts.payments": ("090", True, 2),
        "books.accounts.rounding": ("860", True, 5),
        "books.accounts.sales": ("200", True, 3),
        "books.taxes.20": ("OUTPUT", False, 7),
        "books.taxes.5": ("RROUTPUT", True, 7),
        "qbo.accounts.payments": ("35", True, 2),
        "qbo.accounts.rounding": ("88", True, 5),
        "qbo.accounts.sales": ("1", True, 4),
        "pay.account": ("acct_demo", True, 1),
    }
    assert [choice["value"] for choice in lines["books.taxes.20"]["choices"][:2]] == ["OUTPUT", "OUTPUT2"]
    assert [choice["label"] for choice in lines["books.accounts.payments"]["choices"]] == [
        "Business Bank Account",
        "Payments Clearing",
    ]
    _, text, _ = await _run(company, capsys)
    assert 'accounts.sales = "200"' in text
    assert '# Sales; or "210" (Shipping), "220" (Discounts)' in text
    assert '# perhaps Tax on Sales 20 %; or "OUTPUT2" (20% Sales)' in text


async def test_accepted_lines_are_written_and_the_others_stay_listed(
    company: Company, capsys: pytest.CaptureFixture[str]
) -> None:
    _sold(company, "20")
    path = company.write(**BARE)
    path.write_text(path.read_text().replace('account = "..."', 'account = "..."   # whose it is') + "# the end\n")
    before = path.read_text()
    code, out, _ = await _run(company, capsys, "--write", "--yes", "--json")
    printed = json.loads(out)
    assert (code, list(_named(printed))) == (0, ["books.taxes.20"])
    assert printed["written"]["books.accounts.sales"] == "200"
    after = path.read_text()
    assert 'account = "4711"   # whose it is\n' in after
    assert 'accounts = { sales = "200"' in after or 'sales = "200"' in after
    assert after.endswith("# the end\n")
    assert [line for line in before.splitlines() if line.startswith(("[", "platform", "secrets"))] == [
        line for line in after.splitlines() if line.startswith(("[", "platform", "secrets"))
    ]
    code, out, _ = await _run(company, capsys, "--write", "--accept", "books.taxes.20=OUTPUT2", "--json")
    assert (code, json.loads(out)["lines"]) == (0, [])
    assert load(path, {}).tenants[0].connections["books"].taxes == {"20": "OUTPUT2"}
    again = await _run(company, capsys, "--write", "--accept", "books.taxes.20=OUTPUT2")
    assert again[0] == 0, "a script may run twice"


async def test_what_no_account_offers_is_refused_and_nothing_is_written(
    company: Company, capsys: pytest.CaptureFixture[str]
) -> None:
    path = company.write(**BARE)
    before = path.read_text()
    for words, said in (
        (["--accept", "crm.account=4712"], "does not offer '4712' for crm.account; it has \"4711\"."),
        (["--accept", "crm.stages.paid=x"], "No line crm.stages.paid is missing; name one of "),
        ([], "Nobody can be asked here; add --yes, or --accept KEY=VALUE for each line."),
        (["--offline", "--yes"], "leave --offline out."),
    ):
        code, _, err = await _run(company, capsys, "--write", *words)
        assert code == 2
        assert said in err
    assert path.read_text() == before


async def test_a_person_picks_line_by_line(
    company: Company, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _sold(company, "20")
    path = company.write(books={"accounts": {"payments": "090", "rounding": "860"}, "taxes": {}})
    typed = Typed("\n7x\n2\n")  # Enter for 200, then none of them, then the second one
    monkeypatch.setattr(sys, "stdin", typed)
    code, out, err = await _run(company, capsys, "--write")
    books = load(path, {}).tenants[0].connections["books"]
    assert (books.accounts["sales"], books.taxes) == ("200", {"20": "OUTPUT2"})
    assert code == 0
    assert "Wrote 2 lines into" in out
    assert '   2  "OUTPUT2" (20% Sales)\n' in err
    assert "7x is none of them." in err
    company.write(books={"accounts": {"payments": "090", "rounding": "860"}, "taxes": {}})
    monkeypatch.setattr(sys, "stdin", Typed("s\nq\n"))
    before = path.read_text()
    assert (await _run(company, capsys, "--write"))[0] == 0
    assert path.read_text() == before


class Typed(io.StringIO):
    """What a person types at a terminal."""

    def isatty(self) -> bool:
        return True


async def test_a_stage_of_the_portal_is_offered_for_a_word_that_nothing_shows(
    company: Company, capsys: pytest.CaptureFixture[str]
) -> None:
    stages = {"paid": "Handed over", "cancelled": "closedlost"}
    code, printed = await company.check(capsys, crm={"stages": stages})
    line = _named(printed)["crm.stages.paid"]
    assert (code, line["suggested"], line["instead_of"]) == (1, "closedwon", "Handed over")
    code, out, _ = await _run(company, capsys, "--write", "--accept", "crm.stages.paid=closedwon", "--json")
    assert (code, json.loads(out)["lines"]) == (0, [])
