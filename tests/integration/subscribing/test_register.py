"""`o2c webhooks` against running sandboxes: what is registered, moved, healed, left alone and removed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.cli import main
from app.config.load import load
from app.sandbox.base import Faults, Sandbox
from app.sandbox.platforms.hubspot import HubspotSandbox
from app.sandbox.platforms.hubspot.server import CLIENT, DEVELOPER_KEY
from app.sandbox.platforms.shopify import ShopifySandbox
from app.sandbox.platforms.shopify.shop import Refused
from app.sandbox.platforms.stripe import StripeSandbox
from app.subscribing.registering import Registrar

pytestmark = pytest.mark.sandbox
SHOP = "demo.myshopify.com"
SECRETS: dict[str, dict[str, str]] = {
    "shop": {"token": "shpat_sandbox", "client_secret": "shpss_sandbox", "webhook_secret": "shpss_sandbox"},
    "crm": {"token": "pat-demo", "developer_key": DEVELOPER_KEY, "webhook_secret": CLIENT[1]},
    "pay": {"token": "sk_test_demo"},
    "books": {"client_id": "c", "client_secret": "s", "refresh_token": "r", "webhook_secret": "w"},
}
ACCOUNTS = {
    "shop": ("shopify", SHOP),
    "crm": ("hubspot", "4711"),
    "pay": ("stripe", "acct_demo"),
    "books": ("xero", "o-1"),
}


class Company:
    """Three systems with an API of subscriptions, one without, and a configuration for them."""

    def __init__(self, folder: Path, kafka: str = "127.0.0.1:9") -> None:
        self.folder, self.kafka = folder, kafka
        self.shop = ShopifySandbox(SHOP, quota_scale=100)
        self.crm = HubspotSandbox("4711", quota_scale=100)
        self.pay = StripeSandbox("acct_demo", quota_scale=100)
        self.urls: dict[str, str] = {"books": "http://127.0.0.1:9"}

    @property
    def sandboxes(self) -> dict[str, Sandbox]:
        return {"shop": self.shop, "crm": self.crm, "pay": self.pay}

    async def start(self) -> None:
        for name, sandbox in self.sandboxes.items():
            self.urls[name] = await sandbox.start()

    async def stop(self) -> None:
        for sandbox in self.sandboxes.values():
            await sandbox.stop()

    def write(self, public: str = "https://hooks.example.com", more: str = "", **changes: dict[str, str]) -> Path:
        """Write the configuration; *changes* replace the secrets of a connection."""
        head = f'key = "a long random text for tests"\n[kafka]\nbootstrap = "{self.kafka}"\npartitions = 2'
        lines = [head, f'[gateway]\npublic_url = "{public}"', '[[tenant]]\nname = "acme"']
        for name, (platform, account) in ACCOUNTS.items():
            secrets = ", ".join(f'{key} = "{value}"' for key, value in changes.get(name, SECRETS[name]).items())
            lines += [
                f"[tenant.connections.{name}]",
                f'platform = "{platform}"\naccount = "{account}"\nbase_url = "{self.urls[name]}"\nallow_private = true',
                f"secrets = {{ {secrets} }}",
            ]
            lines += ['options = { app_id = "39522895" }'] if name == "crm" else []
        path = self.folder / "o2c.toml"
        path.write_text("\n".join([*lines, more]))
        return path

    def written(self) -> int:
        return sum(sandbox.counters["mutating"] for sandbox in self.sandboxes.values())


Run = Any


@pytest.fixture
async def company(tmp_path: Path) -> AsyncIterator[Company]:
    found = Company(tmp_path)
    await found.start()
    yield found
    await found.stop()


@pytest.fixture
def run(company: Company, capsys: pytest.CaptureFixture[str]) -> Run:
    async def call(*words: str) -> tuple[int, dict[str, Any]]:
        path = company.folder / "o2c.toml"
        code = await asyncio.to_thread(main, ["webhooks", *words, "--config", str(path), "--json"])
        return code, {row["connection"]: row for row in json.loads(capsys.readouterr().out)}

    return call


async def test_a_second_run_changes_nothing_and_a_person_is_told_what_to_click(company: Company, run: Run) -> None:
    company.write()
    code, first = await run("register")
    assert code == 0
    assert [first[name]["standing"]["missing"] for name in ("shop", "crm", "pay")] == [[], [], []]
    assert (len(first["shop"]["changes"]), first["pay"]["changes"][0]["done"]) == (19, "created")
    assert first["crm"]["address"] == "https://hooks.example.com/hooks/hubspot/default"
    clicks = "\n".join(first["books"]["steps"])
    assert "https://hooks.example.com/hooks/xero/default" in clicks
    assert "INVOICE, CREDITNOTE, CONTACT" in clicks
    assert first["shop"]["kept"] is False
    assert first["shop"]["notes"] == [
        "Connectors are not told: Kafka does not answer at 127.0.0.1:9; run `o2c kafka status`, then this again."
    ]
    before = company.written()
    code, second = await run("register")
    assert (code, [row["changes"] for row in second.values()], company.written()) == (0, [[]] * 4, before)
    assert (await run("show"))[0] == 0


async def test_the_secret_is_shown_once_and_asked_for_afterwards(company: Company, run: Run) -> None:
    company.write()
    _, first = await run("register", "pay")
    secret = first["pay"]["secret"]
    assert secret == company.pay.hooks.targets[0].secret
    _, second = await run("register", "pay")
    assert second["pay"]["secret"] == ""
    assert second["pay"]["notes"][0].startswith("pay has no webhook_secret")
    company.write(pay={"token": "sk_test_demo", "webhook_secret": secret})
    assert (await run("show", "pay"))[1]["pay"]["notes"] == []


async def test_what_moved_was_switched_off_or_lost_comes_back_and_strangers_stay(company: Company, run: Run) -> None:
    company.write()
    await run("register")
    foreign = {"url": "https://others.example.com/in", "enabled_events": ["*"]}
    company.pay.endpoints.create(foreign)
    (ours,) = [one for one in company.pay.ledger.of("webhook_endpoint") if one["url"] != foreign["url"]]
    company.pay.endpoints.update(ours["id"], {"disabled": "true"})
    lost = company.shop.subscriptions.rows()[0]
    company.shop.subscriptions.mutations()["webhookSubscriptionDelete"](id=lost["id"])
    company.write(public="https://new.example.com")
    code, shown = await run("show")
    assert code == 1
    assert shown["shop"]["standing"]["missing"] == shown["shop"]["wanted"]
    assert {why for row in shown.values() if row["standing"] for step in row["standing"]["steps"] for why in step["why"]} == {
        "moved", "missing", "switched off",
    }  # fmt: skip
    code, healed = await run("register")
    assert (code, [row["errors"] for row in healed.values()]) == (0, [[]] * 4)
    assert {row["uri"] for row in company.shop.subscriptions.rows()} == {"https://new.example.com/hooks/acme/shop"}
    assert len(company.shop.subscriptions.rows()) == 19
    assert [one["address"] for one in healed["pay"]["standing"]["foreign"]] == [foreign["url"]]
    code, removed = await run("remove")
    assert (code, len(removed["shop"]["changes"]), removed["crm"]["standing"]["ours"]) == (0, 19, [])
    assert [one["url"] for one in company.pay.ledger.of("webhook_endpoint")] == [foreign["url"]]
    assert (await run("remove"))[1]["shop"]["changes"] == []


async def test_what_is_silent_is_ended_and_made_anew(company: Company, run: Run) -> None:
    path = company.write()
    await run("register")
    shop, crm = company.shop.subscriptions, company.crm.subscriptions
    theirs = {"eventType": "company.creation", "active": True}
    crm._subscribe(theirs)
    before = {row["id"] for row in shop.rows()} | {
        id_ for id_, row in crm._rows.items() if row["eventType"] != theirs["eventType"]
    }
    shop.fall_silent({"topic": "ORDERS_UPDATED"})
    assert not company.shop.hooks.wanted("orders/updated")
    settings = load(path, {})
    made = {one.connection.name: Registrar(settings, one) for one in settings.connections}
    for name in ("shop", "crm"):
        report = await made[name].renew()
        assert (report.errors, report.standing and report.standing.missing) == ((), ())
        assert {line.why for line in report.changes} == {("silent",)}
    assert not before & ({row["id"] for row in shop.rows()} | set(crm._rows))
    assert len(shop.rows()) == 19
    assert [row["active"] for row in crm._rows.values() if row["eventType"] == theirs["eventType"]] == [True]
    assert company.shop.hooks.wanted("orders/updated")
    secret = company.pay.hooks.targets[0].secret
    (why,) = (await made["pay"].renew()).errors
    assert why.endswith("run `o2c webhooks remove pay`, then `o2c webhooks register pay`.")
    assert company.pay.hooks.targets[0].secret == secret


async def test_another_account_is_not_touched(company: Company, run: Run) -> None:
    path = company.write()
    path.write_text(path.read_text().replace(SHOP, "other.myshopify.com"))
    code, told = await run("register", "shop")
    assert (code, company.written()) == (1, 0)
    assert told["shop"]["errors"] == [
        f"shop belongs to the account {SHOP}, not to other.myshopify.com; correct account or the secrets."
    ]


async def test_failures_are_one_sentence_with_the_next_step(company: Company, run: Run) -> None:
    company.write(crm={**SECRETS["crm"], "developer_key": "wrong"}, pay={"token": "wrong"})
    company.shop.injector.faults = Faults(error_5xx=1.0)
    code, told = await run("register")
    assert code == 1
    sentences = {name: row["errors"][0] for name, row in told.items() if row["errors"]}
    assert "developer_key is the developer API key" in sentences["crm"]
    assert "a restricted key needs the permission Webhook Endpoints: Write" in sentences["pay"]
    assert sentences["shop"].endswith(("; run the command again.", "register again."))
    assert all(one.endswith(".") for one in sentences.values())


async def test_one_refused_topic_keeps_no_other_from_being_registered(company: Company, run: Run) -> None:
    company.write()
    create = company.shop.engine._own["webhookSubscriptionCreate"]

    def careful(topic: str, **asked: Any) -> Any:
        if topic == "RETURNS_UPDATE":
            raise Refused("You do not have permission to create webhooks with this topic", ("topic",))
        return create(topic=topic, **asked)

    company.shop.engine._own = {**company.shop.engine._own, "webhookSubscriptionCreate": careful}
    code, told = await run("register", "shop")
    assert (code, told["shop"]["standing"]["missing"], len(told["shop"]["changes"])) == (1, ["RETURNS_UPDATE"], 18)
    (sentence,) = told["shop"]["errors"]
    assert sentence.startswith("Shopify refuses the subscription to RETURNS_UPDATE: You do not have permission")
    assert sentence.endswith("; run `o2c webhooks show shop`.")


async def test_a_secret_that_cannot_be_right_is_noted(company: Company, run: Run) -> None:
    company.write(shop={**SECRETS["shop"], "webhook_secret": "other"})
    assert (await run("register", "shop"))[1]["shop"]["notes"][0] == (
        "Shopify signs with client_secret, which webhook_secret of shop must repeat; set it so."
    )


async def test_without_the_developer_key_hubspots_clicks_are_printed(company: Company, run: Run) -> None:
    company.write(crm={"token": "pat-demo", "webhook_secret": "w"})
    code, told = await run("register", "crm")
    assert (code, told["crm"]["standing"]) == (0, None)
    assert "deal.propertyChange dealstage" in "".join(told["crm"]["steps"])
    assert "developer_key" in told["crm"]["notes"][0]


async def test_an_address_that_no_vendor_reaches_is_refused_before_anything_is_sent(company: Company, run: Run) -> None:
    path = company.write(public="http://127.0.0.1:8080")
    path.write_text(path.read_text().replace("allow_private = true", "allow_private = false"))
    code, told = await run("register")
    assert (code, company.written()) == (1, 0)
    assert "set it to the address under which the internet reaches the gateway" in told["pay"]["errors"][0]


async def test_one_of_two_behind_an_app_is_not_removed_alone(
    company: Company, capsys: pytest.CaptureFixture[str]
) -> None:
    second = '[tenant.connections.books2]\nplatform = "xero"\naccount = "o-2"\nallow_private = true'
    path = company.write(more=second)
    code = await asyncio.to_thread(main, ["webhooks", "remove", "books", "--config", str(path)])
    assert code == 2
    assert "books2 would be told nothing any more either" in capsys.readouterr().err


async def test_a_person_reads_the_topics_the_secret_and_the_steps(
    company: Company, capsys: pytest.CaptureFixture[str]
) -> None:
    path = company.write()
    assert await asyncio.to_thread(main, ["webhooks", "register", "--config", str(path)]) == 0
    said, logged = capsys.readouterr()
    secret = company.pay.hooks.targets[0].secret
    assert f'    webhook_secret = "{secret}"' in said
    assert secret not in logged
    assert "  registered: 19 of 19 wanted topics" in said
    assert "  2. Tick the categories INVOICE, CREDITNOTE, CONTACT." in said
    assert await asyncio.to_thread(main, ["webhooks", "show", "--config", str(path)]) == 0
    assert secret not in capsys.readouterr().out
