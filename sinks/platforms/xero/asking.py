"""How Xero is asked: headers, wrapped bodies, idempotency keys, contacts found before they are made."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import msgspec

from app.core.errors import ConflictError, DecodeError, DuplicateError, O2CError, RejectedError
from app.core.talk import Request, Response, Talk
from schemas.errors import misfit
from schemas.facts import Party
from schemas.platforms.xero import PLATFORM, wire
from schemas.platforms.xero.headers import headers
from schemas.refs import Mark, read_mark
from sinks.base import Sink
from sinks.platforms.xero import bodies, refusals

_MISSING = 404
_FILTER, _TOGETHER = 25, 50
_APART = {"summarizeErrors": "false"}


class Asking(Sink):
    """Requests and replies; every write carries an Idempotency-Key."""

    platform = PLATFORM

    def classify(self, response: Response, *, mutating: bool) -> O2CError | None:
        """Return what a reply means; Xero refuses inside 200 replies too."""
        return refusals.classify(response, mutating=mutating)

    @property
    def _headers(self) -> dict[str, str]:
        return headers(self.connection)

    def get(self, path: str, params: Mapping[str, str] | None = None) -> Talk[wire.Reply]:
        """Read; raise what the reply means."""
        reply = yield Request(method="GET", path=path, params=params or {}, headers=self._headers)
        return self._read(reply, mutating=False)

    def find(self, path: str, params: Mapping[str, str] | None = None) -> Talk[wire.Reply | None]:
        """Read one object by its id; None when it is gone."""
        reply = yield Request(method="GET", path=path, params=params or {}, headers=self._headers)
        return None if reply.status == _MISSING else self._read(reply, mutating=False)

    def put(
        self,
        path: str,
        body: Mapping[str, object],
        step: str,
        params: Mapping[str, str] | None = None,
        *,
        method: str = "PUT",
        lock: str = "",
        once: bool = False,
    ) -> Talk[wire.Reply]:
        """Write; raise what the reply means. PUT creates and never overwrites, POST changes by id."""
        reply = yield Request(
            method=method,
            path=path,
            params=params or {},
            headers=self._headers,
            json=body,
            mutates=True,
            step=step,
            key_in="header:Idempotency-Key",
            lock=lock,
            once=once,
        )
        return self._read(reply, mutating=True)

    def delete(self, path: str, step: str) -> Talk[None]:
        """Take a part away; what is gone already is as good, and Xero takes no key here."""
        reply = yield Request(method="DELETE", path=path, headers=self._headers, mutates=True, step=step)
        if reply.status != _MISSING:
            self._read(reply, mutating=True)

    def _read(self, response: Response, *, mutating: bool) -> wire.Reply:
        if (error := self.classify(response, mutating=mutating)) is not None:
            raise error
        if not response.body.strip():
            return wire.Reply()
        try:
            return wire.read(response.body)
        except (msgspec.MsgspecError, ValueError) as error:
            raise DecodeError(f"Xero: the reply does not have the documented shape: {misfit(error)}.") from error

    # --------------------------------------------------------------------------------------------- contacts

    def contact(self, party: Party | None) -> Talk[wire.Contact]:
        """Find the customer by e-mail, else by name, else create; the natural key is locked."""
        party = party or Party()
        if not (party.email or party.name):
            return self._fallback()
        found = yield from self.contacts_by_key([party])
        known = found.get(customer_key(party))
        return known if known is not None else (yield from self.new_contact(party))

    def _fallback(self) -> wire.Contact:
        id_ = self.connection.options.get("fallback_contact", "")
        if not id_:
            raise RejectedError("Xero: the order names no customer and the connection has no fallback_contact.")
        return wire.Contact(contact_id=id_)

    def contacts_by_key(self, parties: Sequence[Party]) -> Talk[dict[str, wire.Contact]]:
        """Return the active contacts of several customers by natural key, asked for together."""
        wanted = {customer_key(party): party for party in parties if party.email or party.name}
        found: dict[str, wire.Contact] = {}
        keys = list(wanted)
        for start in range(0, len(keys), _FILTER):
            some = [wanted[key] for key in keys[start : start + _FILTER]]
            where = " OR ".join(dict.fromkeys(_same(party) for party in some))
            reply = yield from self.get("/Contacts", {"where": where, "page": "1"})
            for party in some:
                if (one := _best(reply.contacts, party)) is not None:
                    found[customer_key(party)] = one
        return found

    def new_contact(self, party: Party) -> Talk[wire.Contact]:
        """Create a contact under a number of ours, which Xero keeps unique: of two tries at once one is refused.

        A refused one looks again; when the name is another customer's, it carries the e-mail or a number as well.
        """
        key, name = customer_key(party), party.name or party.email
        first = {**bodies.contact(party, name), "ContactNumber": f"o2c-{_short(key)}"}
        distinct = f"{name} ({party.email})" if party.email else f"{name} ({_short(key)[:6]})"
        for step, body in (("", first), (":renamed", bodies.contact(party, distinct))):
            try:
                reply = yield from self.put(
                    "/Contacts", {"Contacts": [body]}, f"customer:{_short(key)}{step}", lock=f"customer:{key}"
                )
            except DuplicateError:
                if (again := (yield from self._made_meanwhile(party, str(first["ContactNumber"])))) is not None:
                    return again
            else:
                return reply.contacts[0]
        raise ConflictError("Xero: the customer's name is taken by another contact; a person has to tell them apart.")

    def new_contacts(self, parties: Sequence[Party]) -> Talk[dict[str, wire.Contact]]:
        """Create several contacts in one call, by natural key; those that were refused are left out.

        Only contacts with an e-mail or a name of their own: two of one name in a call would be refused anyhow.
        """
        wanted = {customer_key(party): party for party in parties}
        made: dict[str, wire.Contact] = {}
        keys = list(wanted)
        for start in range(0, len(keys) if len(keys) > 1 else 0, _TOGETHER):
            some = keys[start : start + _TOGETHER]
            numbers = {f"o2c-{_short(key)}": key for key in some}
            rows = [
                {**bodies.contact(wanted[key], wanted[key].name or wanted[key].email), "ContactNumber": number}
                for number, key in numbers.items()
            ]
            try:
                reply = yield from self.put("/Contacts", {"Contacts": rows}, f"customers:{_short(some[0])}", _APART)
            except (DuplicateError, RejectedError):
                continue
            for contact in reply.contacts:
                if not contact.refused and contact.contact_id and contact.contact_number in numbers:
                    made[numbers[contact.contact_number]] = contact
        return made

    def _made_meanwhile(self, party: Party, number: str) -> Talk[wire.Contact | None]:
        """Look by our number first: a read by number is up to date where a search may not be."""
        reply = yield from self.find(f"/Contacts/{number}")
        ours = [one for one in reply.contacts if one.contact_status == "ACTIVE"] if reply is not None else []
        if ours:
            return ours[0]
        found = yield from self.contacts_by_key([party])
        return found.get(customer_key(party))


def customer_key(party: Party) -> str:
    """Return the natural key of a customer: the e-mail in lower case, else the name."""
    return party.email.lower() or party.name.casefold()


def quoted(text: str) -> str:
    """Return *text* as a string of a filter."""
    plain = "".join(sign for sign in text if sign.isprintable())
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _same(party: Party) -> str:
    return f"EmailAddress=={quoted(party.email)}" if party.email else f"Name=={quoted(party.name)}"


def _best(contacts: Sequence[wire.Contact], party: Party) -> wire.Contact | None:
    """Return the contact that is meant: of several with one e-mail the one with the name, then the smallest id."""
    active = [contact for contact in contacts if contact.contact_status in {"", "ACTIVE"}]
    if party.email:
        same = [one for one in active if one.email_address.lower() == party.email.lower()]
    else:
        same = [one for one in active if one.name.casefold() == party.name.casefold()]
    return min(same, key=lambda one: (one.name != party.name, one.contact_id), default=None)


def _short(key: str) -> str:
    return hashlib.blake2b(key.encode(), digest_size=8).hexdigest()


def beside(mark: str) -> str:
    """Return the mark of a second object made by one write: of the same order, bound to no write record."""
    parts = read_mark(mark)
    if parts is None:
        return mark
    return str(Mark(parts.order, hashlib.blake2b(parts.write.encode(), digest_size=6).hexdigest()))
