"""The facts of a platform, as data: no I/O, so that source, sink and documentation can all read them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Literal

import msgspec

from schemas.commands import Capability

_EMPTY: Mapping[str, str] = MappingProxyType({})
_SCOPES = re.compile(r"[\s,]+")
_NO_FIELDS: Mapping[str, frozenset[str]] = MappingProxyType({})

Grant = Literal["consent", "client_credentials"]

Words = Literal[
    "draft",
    "open",
    "on_hold",
    "cancelled",
    "closed",
    "invoiced",
    "partially_paid",
    "paid",
    "overpaid",
    "partially_refunded",
    "refunded",
    "void",
    "partially_fulfilled",
    "fulfilled",
    "delivered",
    "returned",
]


class Effect(StrEnum):
    """What a capability does in the world; the last two are off unless the flow names them."""

    RECORDS = "records"
    MOVES_MONEY = "moves_money"
    CONTACTS_CUSTOMER = "contacts_customer"


class Limit(msgspec.Struct, frozen=True):
    """At most *requests* in any *per_seconds*; `scope` says what shares it."""

    requests: int
    per_seconds: float
    scope: Literal["connection", "app", "endpoint"] = "connection"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Quotas of one connection. `cost` platforms (Shopify) count points instead of requests."""

    windows: tuple[Limit, ...] = ()
    concurrent: int = 10
    """Calls in flight that the vendor allows; 0 = it names no number: as many as its windows let begin meanwhile."""
    points: Limit | None = None
    left_in_body: str = ""
    """Regular expression whose first group is the number of points left, in the last kilobyte of a reply."""
    remaining_headers: tuple[str, ...] = ()
    timeout_seconds: float = 30.0
    """The longest request the platform works on."""


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """What a platform means by a status, where that is not what others mean by it.

    Of several that fit the first counts.
    """

    status: int
    error: Literal["auth", "conflict", "duplicate", "rate_limited", "rejected", "retryable"]
    says: tuple[str, ...] = ()
    """Texts of the body, any of which must be there; () = whatever it says."""
    pause: float | None = None
    """Seconds to wait where no Retry-After says it."""
    until_midnight: bool = False
    """A day's quota is used up: wait for the next day of the account's own time zone, `pause` where none is known."""
    least: float = 0.0
    """Seconds to wait whatever Retry-After says."""
    everybody: bool = False
    """The whole connection waits, not only who asked."""


class Consistency(msgspec.Struct, frozen=True, kw_only=True):
    """How far a look at the platform can be trusted (DESIGN section 4, decision 7)."""

    monotonic: frozenset[str] = frozenset()
    """Object types whose webhook is a complete record with a version that grows with every part of it."""
    search_lag_seconds: float = 0.0
    """How long a search may miss a new record; 0 = consistent."""
    settle_seconds: float = 120.0
    """Longest request + visibility lag: how long after a lost reply a negative answer does not count."""
    idempotency_seconds: float = 0.0
    """How long a repeated key gives the first answer; 0 = no keys."""
    paging: Literal["keyset", "page", "cursor", "window"] = "page"
    mark_field: Mapping[str, str] = _EMPTY
    """Object type -> the platform's field that carries our mark; a missing type has none."""


class Auth(msgspec.Struct, frozen=True, kw_only=True):
    """How a connection proves who it is. Secret names are keys of the connection's secrets."""

    kind: Literal["bearer", "header", "basic", "oauth2", "client_credentials"] = "bearer"
    header: str = "Authorization"
    secret: str = "token"
    token_url: str = ""
    """Absolute, or a path on the connection's base URL."""
    basic_client: bool = False
    """Send client id and secret by HTTP Basic instead of in the form."""
    token_headers: Mapping[str, str] = _EMPTY
    """Sent with every request for tokens."""
    rotates: bool = False
    grants: tuple[Grant, ...] = ()
    """What the connection's option `grant` may say, where an app has several ways to prove who it is; its first is the
    one that `kind` names."""
    refresh_seconds: float = 0.0
    """How long a new refresh token lives while nobody uses it, where replies do not tell; 0 = for ever, or unknown."""
    authorize_url: str = ""
    """Where a person gives consent, "" when there is no code flow. Absolute, or a path on the connection's base URL."""
    scopes: tuple[str, ...] = ()
    """What consent is asked for, unless the connection's option `scopes` says otherwise."""
    scope_separator: str = " "
    code_form: Mapping[str, str] = _EMPTY
    """Sent with the exchange of a code besides what everybody asks."""
    app_form: Mapping[str, str] = _EMPTY
    """The same, with the request for an app's own token."""
    signed_by: str = ""
    """Parameter of the call-back with the HMAC-SHA256 of all others under the client secret; "" = it is not signed."""
    pkce: bool = False
    """The platform takes a code challenge (S256), and a client id without a secret."""
    account_param: str = ""
    """Parameter of the call-back that names the account."""
    account_pattern: str = ""
    """What an account looks like, where it is a host that secrets are sent to; "" = anything."""
    account_example: str = ""
    accounts_url: str = ""
    """Where a login lists the accounts that it reaches; "" when it reaches one, which `identify` tells."""
    account_id: str = ""
    """Field of an entry of that list that holds the account's id."""
    account_name: str = ""


class Platform(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about a platform that is not code."""

    slug: str
    title: str
    side: Literal["order", "accounting", "both"]
    base_url: str
    """May hold {account} and names of connection options in braces."""
    docs: str
    auth: Auth
    limits: Limits
    consistency: Consistency
    objects: Mapping[str, str]
    """The platform's object type -> canonical type (order, invoice, payment, credit, shipment, customer, payout)."""
    statuses: Mapping[str, str]
    """"<object type>:<platform word>" -> canonical word (Words). A word that is missing quarantines its order."""
    stages: Mapping[str, str] = _EMPTY
    """Canonical word -> platform word that a write uses."""
    capabilities: Mapping[Capability, Effect]
    """What the sink can do, and what that does in the world."""
    shows: Mapping[str, frozenset[str]] = _NO_FIELDS
    """Capability -> fields of the projection that this platform stores and shows again."""
    shows_by_option: Mapping[str, Mapping[str, frozenset[str]]] = MappingProxyType({})
    """Connection option -> capability -> fields that it shows as well once the option is set."""
    signature_headers: tuple[str, ...] = ()
    """What proves where a webhook comes from."""
    delivery_headers: tuple[str, ...] = ()
    """What says what its body means: kept with the body. All others are forgotten."""
    hook_secret: str = "webhook_secret"
    body_limit: int = 1_048_576
    secrets: tuple[str, ...] = ()
    """Names of the secrets that a connection needs."""
    options: Mapping[str, str] = _EMPTY
    """Option name -> one line of explanation, written into `o2c init`."""
    told_by_token: Mapping[str, Mapping[str, str]] = MappingProxyType({})
    """Connection option -> how a configured token begins -> what that says of the option."""
    read_by_option: Mapping[str, str] = _EMPTY
    """Object type -> the connection option without which objects of that type are not looked for."""
    holds: frozenset[str] = frozenset()
    """Types of credits that put their order on hold until they are decided, as a bank that asks for money back."""
    fixed_amounts: bool = False
    """What a document bills cannot be changed once it is issued: it is voided and made anew, or credited."""
    advance_payments: bool = False
    """`record_payment` without an invoice books the money on the customer's account."""
    gaps: tuple[str, ...] = ()
    """What the platform cannot do, in plain words: becomes a task for a person."""
    version_header: str = ""
    """The header of replies that tells which version of the API served, where a retired one is replaced in silence."""
    version: str = ""
    """The version that is spoken."""
    irreversible: frozenset[str] = frozenset()
    """Object types of payments and refunds that the sink cannot take back."""
    headers: Mapping[str, str] = _EMPTY
    """Sent with every request."""
    headers_by_option: Mapping[str, Mapping[str, str]] = MappingProxyType({})
    """Connection option -> headers that are sent as well once the option is set; {account} is filled in."""
    support_header: str = ""
    """Header of a reply by which the platform's support finds the call; it is logged with what was refused."""
    refusals: tuple[Refusal, ...] = ()
    """Statuses that mean something of their own here, alike for source, sink and whoever sends for them."""

    def proof(self, options: Mapping[str, str]) -> Auth:
        """Return how a connection with *options* proves who it is; a `grant` that is none is the platform's usual."""
        auth, grant = self.auth, options.get("grant", "")
        if grant in auth.grants[1:]:
            auth = msgspec.structs.replace(auth, kind="oauth2" if grant == "consent" else "client_credentials")
        scopes = tuple(filter(None, _SCOPES.split(options.get("scopes", "")))) if auth.grants else ()
        return msgspec.structs.replace(auth, scopes=scopes) if scopes else auth

    def said(self, account: str, options: Mapping[str, str]) -> dict[str, str]:
        """Return the headers of every request of a connection to *account* with *options*."""
        more = [added for option, added in self.headers_by_option.items() if options.get(option)]
        filled = {name: value.replace("{account}", account) for added in more for name, value in added.items()}
        return {**self.headers, **filled}

    def looked_for(self, options: Mapping[str, str]) -> Mapping[str, str]:
        """Return the objects that a connection with *options* looks for, by type."""
        needed = self.read_by_option
        return {
            type_: kind for type_, kind in self.objects.items() if type_ not in needed or options.get(needed[type_])
        }

    def shown(self, capability: str, options: Mapping[str, str]) -> frozenset[str] | None:
        """Return the fields that a connection with *options* stores and shows again; None where nothing is said."""
        fields = self.shows.get(capability)
        more = (added.get(capability, ()) for option, added in self.shows_by_option.items() if options.get(option))
        return None if fields is None else fields.union(*more)
