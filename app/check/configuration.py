"""The configuration against what its platforms can do: nobody is asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import get_args

from app import platforms
from app.check.problems import Places, Problem, Severity
from app.config.model import NO_ACCOUNT, ConnectionConfig, FlowConfig, Settings, TargetConfig, TenantConfig
from app.connecting.choosing import fitting, known_grant
from app.core.errors import ConfigError
from app.platforms import Loaded
from schemas.platform import Auth, Effect, Platform, Words

_WORDS = frozenset(get_args(Words))
_FIELDS = frozenset(TargetConfig.model_fields["fields"].default)
_GENERAL_OPTIONS = frozenset(("settle_seconds", "timeout_seconds", "legacy_signatures"))
_DOCUMENTS = {
    "invoice": "upsert_invoice",
    "sales_receipt": "upsert_sales_receipt",
    "payment_request": "request_payment",
}
Found = Iterator[Problem]


def check_configuration(settings: Settings, places: Places) -> list[Problem]:
    """Return what no role could work with, and what would surprise."""
    found = [problem for tenant in settings.tenants for problem in _Tenant(tenant, places).problems()]
    if not settings.key.get_secret_value():
        text = "The key that encrypts stored tokens is empty; set key to any long random text, as `o2c init` does."
        found.append(Problem(places.main("key"), "error", "no_key", text))
    return [*found, *_one_connection_per_account(settings, places)]


def _one_connection_per_account(settings: Settings, places: Places) -> Found:
    seen: dict[tuple[str, str], str] = {}
    for tenant in settings.tenants:
        for name, connection in tenant.connections.items():
            first = seen.setdefault((connection.platform, connection.account), name)
            if first != name and connection.account != NO_ACCOUNT:
                where = places.of(tenant.tenant, "connections", name, "account")
                text = f"The account of {name} is that of {first} as well; one account has one connection, remove one."
                yield Problem(where, "error", "same_account", text)


def capabilities(target: TargetConfig, platform: Platform) -> set[str]:
    """Return what a flow makes the platform of *target* do."""
    wanted = {"upsert_order"} if target.order else set()
    wanted |= {_DOCUMENTS[target.document]} if target.document in _DOCUMENTS else set()
    wanted |= {"record_payment"} if target.payments else set()
    wanted |= {"issue_credit", "record_refund"} if target.credits else set()
    wanted |= {"record_shipment"} if target.shipments else set()
    wanted |= {"set_status"} if target.status else set()
    return wanted & set(platform.capabilities)


def unmet(connection: ConnectionConfig, target: TargetConfig, loaded: Loaded) -> list[str]:
    """Return the ledger accounts ("accounts.sales") and the "taxes" that *target* uses and *connection* leaves open."""
    used = {need for name in capabilities(target, loaded.platform) for need in loaded.sink.mappings.get(name, ())}

    def given(need: str) -> object:
        table, _, use = need.partition(".")
        mapped = connection.accounts if table == "accounts" else connection.taxes
        return mapped.get(use) if use else mapped

    return sorted(need for need in used if not given(need))


class _Tenant:
    """The checks of one tenant."""

    def __init__(self, tenant: TenantConfig, places: Places) -> None:
        self._tenant, self._places = tenant, places
        self._loaded: dict[str, Loaded] = {}

    def problems(self) -> Found:
        for name, connection in self._tenant.connections.items():
            try:
                self._loaded[name] = platforms.load(connection.platform)
            except ConfigError as error:
                text = f"{str(error).rstrip('.')}; name one of them."
                yield self._problem("unknown_platform", text, "connections", name, "platform")
                continue
            yield from self._secrets(name, connection)
            yield from self._grant(name, connection)
            yield from self._options(name, connection)
            yield from self._mappings(name, connection)
        for position, flow in enumerate(self._tenant.flows):
            yield from self._flow(position, flow)

    def _problem(self, code: str, text: str, *keys: int | str, severity: Severity = "error") -> Problem:
        return Problem(self._places.of(self._tenant.tenant, *keys), severity, code, text)

    def _secrets(self, name: str, connection: ConnectionConfig) -> Found:
        platform = self._loaded[name].platform
        if not platform.capabilities:
            return  # nothing is asked of it
        given = {secret for secret, value in connection.secrets.items() if value.get_secret_value()}
        spared = _spared(platform, platform.proof(connection.options))
        needed = () if "token" in given else [secret for secret in platform.secrets if secret not in spared]
        for secret in needed:
            if secret not in given:
                text = f"{name} has no secret {secret}, which {platform.title} asks for; add it to its secrets."
                yield self._problem("no_secret", text, "connections", name, "secrets")
        journal = self._loaded[name].source.journal
        follows = journal is not None and journal.asked(connection.options)
        for secret in journal.secrets if journal is not None and follows else ():
            if secret not in given | set(needed):
                text = f"{name} has no secret {secret}, without which {platform.title} shows no journal; add it."
                yield self._problem("no_secret", text, "connections", name, "secrets")
        if not follows and platform.hook_secret in platform.secrets and platform.hook_secret not in given:
            text = f"{name} refuses every webhook without the secret {platform.hook_secret}; add it to its secrets."
            yield self._problem("no_hook_secret", text, "connections", name, "secrets", severity="warning")

    def _grant(self, name: str, connection: ConnectionConfig) -> Found:
        """Say what leaves open how a connection proves who it is, or whether that is the account which is meant."""
        platform = self._loaded[name].platform
        auth, grant = platform.proof(connection.options), connection.options.get("grant", "")
        at = ("connections", name, "options", "grant")
        try:
            known_grant(auth, platform.title, name, grant)
        except ConfigError as error:
            yield self._problem("unknown_grant", str(error), *at)
        if grant and auth.secret in connection.secrets and auth.secret not in platform.secrets:
            text = f"{name} has a grant and the secret {auth.secret}, which needs none; remove one of them."
            yield self._problem("two_grants", text, *at)
        try:
            fitting(auth, name, "" if connection.account == NO_ACCOUNT else connection.account)
        except ConfigError as error:
            yield self._problem("wrong_account", str(error), "connections", name, "account")

    def _options(self, name: str, connection: ConnectionConfig) -> Found:
        known = set(self._loaded[name].platform.options) | _GENERAL_OPTIONS
        for option in sorted(set(connection.options) - known):
            text = f"{name} has an option {option!r} that nobody reads; remove it or name one of {_listed(known)}."
            yield self._problem("unknown_option", text, "connections", name, "options", option, severity="warning")
        journal = self._loaded[name].source.journal
        if journal is not None and connection.options.get(journal.option) and not journal.asked(connection.options):
            text = f"{name} has a {journal.option} that nobody follows; use one of {_listed(journal.choices)}, or none."
            yield self._problem("unknown_journal", text, "connections", name, "options", journal.option)

    def _mappings(self, name: str, connection: ConnectionConfig) -> Found:
        for word, canonical in connection.statuses.items():
            if canonical not in _WORDS:
                text = (
                    f"{name} maps {word!r} to {canonical!r}, which is no status of ours; use one of {_listed(_WORDS)}."
                )
                yield self._problem("unknown_word", text, "connections", name, "statuses", word)
        for canonical in connection.stages:
            if canonical not in _WORDS:
                text = f"{name} maps the status {canonical!r}, which is none of ours; use one of {_listed(_WORDS)}."
                yield self._problem("unknown_word", text, "connections", name, "stages", canonical)

    # ---------------------------------------------------------------------------------------------- flows

    def _flow(self, position: int, flow: FlowConfig) -> Found:
        giver = self._loaded.get(flow.key_giver)
        if giver is not None:
            title = giver.platform.title
            objects = giver.platform.looked_for(self._tenant.connections[flow.key_giver].options)
            orders = {type_ for type_, canonical in objects.items() if canonical == "order"}
            known = orders | {type_ for type_, canonical in objects.items() if canonical == "invoice"}
            if flow.order_type and flow.order_type not in known:
                text = f"{flow.order_type!r} is no order of {title}; leave order_type out or use {_listed(known)}."
                yield self._problem("no_orders", text, "flows", position, "order_type")
            elif not flow.order_type and not orders:
                text = (
                    f"{title} has no orders, so {flow.key_giver} cannot be the key-giver; name a connection that has, "
                    f"or take its documents for orders: order_type = {_listed(known)!r}."
                )
                yield self._problem("no_orders", text, "flows", position, "key_giver")
        for number, target in enumerate(flow.targets):
            yield from self._target(flow, target, ("flows", position, "targets", number))

    def _target(self, flow: FlowConfig, target: TargetConfig, at: tuple[int | str, ...]) -> Found:
        loaded = self._loaded.get(target.connection)
        if loaded is None:
            return
        platform = loaded.platform
        yield from self._words(target, at)
        wanted = {"order": "upsert_order"} if target.order else {}
        if target.document in _DOCUMENTS:
            wanted["document"] = _DOCUMENTS[target.document]
        effects: Mapping[str, Effect] = dict(platform.capabilities.items())
        for key, name in wanted.items():
            if name not in effects:
                text = f"{platform.title} cannot {_plain(name)}; change {key} of the target {target.connection}."
                yield self._problem("unsupported", text, *at, key)
            elif effects[name] is not Effect.RECORDS and name not in target.allow:
                text = f"{target.connection} may not {_plain(name)}; add {name!r} to allow if that is wanted."
                yield self._problem("not_allowed", text, *at, key)
        noted = target.connection == flow.key_giver and "add_note" in effects
        if not noted and not capabilities(target, platform):
            text = (
                f"Nothing is ever written to {target.connection}; choose an order or a document, or remove the target."
            )
            yield self._problem("idle_target", text, *at, "connection", severity="warning")
        for name in target.allow:
            if name not in effects:
                text = f"allow names {name!r}, which {platform.title} cannot do; remove it."
                yield self._problem("unsupported", text, *at, "allow", severity="warning")
        yield from self._needs(target, loaded)

    def _words(self, target: TargetConfig, at: tuple[int | str, ...]) -> Found:
        for word in target.when:
            kind, _, rest = word.partition(":")
            connection = rest.partition(":")[0]
            if kind == "stage" and connection not in self._tenant.connections:
                text = f"when names {word!r}, whose connection is not configured; write stage:<connection>:<word>."
                yield self._problem("unknown_word", text, *at, "when")
            elif kind != "stage" and word not in _WORDS:
                text = f"when names {word!r}, which is no status of ours; use one of {_listed(_WORDS)}."
                yield self._problem("unknown_word", text, *at, "when")
        for field in sorted(set(target.fields) - _FIELDS):
            text = f"fields names {field!r}, which is not kept in step; use {_listed(_FIELDS)}."
            yield self._problem("unknown_field", text, *at, "fields")

    def _needs(self, target: TargetConfig, loaded: Loaded) -> Found:
        """Say which ledger accounts and taxes are left to a default that the bookkeeper may not want."""
        connection = self._tenant.connections[target.connection]
        for need in unmet(connection, target, loaded):
            table = need.partition(".")[0]
            text = (
                f"{target.connection} writes to {loaded.platform.title} without {need}, "
                f"so a default is used; set {need} of the connection."
            )
            keys = ("connections", target.connection, table)
            yield self._problem("default_mapping", text, *keys, severity="warning")


def _spared(platform: Platform, auth: Auth) -> set[str]:
    """Return secrets that need not be configured: `o2c connect` may have stored them, a public client has none."""
    public = {"client_secret"} if auth.pkce and auth.kind == "oauth2" else set()
    return {platform.hook_secret, auth.secret} | public


def _listed(words: Iterable[str]) -> str:
    return ", ".join(sorted(words))


def _plain(capability: str) -> str:
    return capability.replace("_", " ")
