"""The question that a browser takes to the platform, and the answer that it brings back: pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import parse_qs, urlencode, urlsplit

import msgspec

from app.core.errors import AuthError
from app.core.talk import Response
from schemas.platform import Auth

_DENIED = "access_denied"


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked, as far as the answer must fit it."""

    connection: str
    url: str
    """Where a person consents."""
    redirect_uri: str
    state: str
    verifier: str = ""
    """What the code challenge was made from, "" where the platform takes none."""


class Answer(msgspec.Struct, frozen=True):
    """What a person's consent gave."""

    code: str
    account: str = ""
    """The account that the call-back names, "" where it names none."""


def question(
    auth: Auth, address: str, client_id: str, *, connection: str, redirect_uri: str, state: str, verifier: str
) -> Question:
    """Return what to ask at *address*; *state* and *verifier* are random and used once."""
    asked = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "scope": auth.scope_separator.join(auth.scopes),
        "state": state,
    }
    if auth.pkce:
        digest = hashlib.sha256(verifier.encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        asked |= {"code_challenge": challenge, "code_challenge_method": "S256"}
    return Question(
        connection=connection,
        url=f"{address}?{urlencode(asked)}",
        redirect_uri=redirect_uri,
        state=state,
        verifier=verifier if auth.pkce else "",
    )


def pasted(text: str) -> dict[str, str]:
    """Return the parameters of a call-back address as a person copied it."""
    query = urlsplit(text.strip()).query or text.strip().lstrip("?")
    return {name: values[0] for name, values in parse_qs(query).items()}


def answer(auth: Auth, asked: Question, told: Mapping[str, str], secret: str = "") -> Answer:
    """Return what the call-back's parameters say; AuthError when they are no consent to what was asked.

    *secret* is the client secret, under which some platforms sign the call-back.
    """
    again = f"run `o2c connect {asked.connection}` again"
    error = told.get("error", "")
    state = told.get("state", "")
    if (state or not error) and not hmac.compare_digest(state.encode(), asked.state.encode()):
        raise AuthError(f"The call-back does not answer the consent that was asked for (another state); {again}.")
    if error:
        why = "Consent was refused" if error == _DENIED else "The platform gave no consent"
        raise AuthError(f"{why} ({_word(error)}); {again} and allow the access.")
    if auth.signed_by and not _signed(told, auth.signed_by, secret):
        raise AuthError(
            f"The call-back is not signed under the client secret of {asked.connection} ({auth.signed_by}); "
            f"compare client_secret in its secrets, then {again}."
        )
    if not told.get("code"):
        raise AuthError(f"The call-back carries no code; {again} and use the whole address.")
    account = told.get(auth.account_param, "") if auth.account_param else ""
    if auth.account_param and not account:
        raise AuthError(f"The call-back names no account ({auth.account_param}); {again} and use the whole address.")
    return Answer(told["code"], account)


def _signed(told: Mapping[str, str], name: str, secret: str) -> bool:
    """Tell whether the parameter *name* signs all others, as Shopify does it (shopify_python_api, session.py)."""
    pairs = (
        (key.replace("%", "%25").replace("=", "%3D") + "=" + value.replace("%", "%25")).replace("&", "%26")
        for key, value in told.items()
        if key != name
    )
    digest = hmac.new(secret.encode(), "&".join(sorted(pairs)).encode(), "sha256").hexdigest()
    return bool(secret) and hmac.compare_digest(told.get(name, "").encode(), digest.encode())


def _word(error: str) -> str:
    """Return an error word of the call-back, which anybody could have written, fit to be shown."""
    return "".join(letter for letter in error[:40] if letter.isalnum() or letter in "_-.")


def grant(asked: Question, found: Answer) -> dict[str, str]:
    """Return the form that exchanges the code."""
    form = {"grant_type": "authorization_code", "code": found.code, "redirect_uri": asked.redirect_uri}
    return {**form, **({"code_verifier": asked.verifier} if asked.verifier else {})}


def blames_client(reply: Response, word: str) -> bool:
    """Tell whether a refused exchange is about client id and secret rather than about the code."""
    return reply.status in {401, 403} or "client" in word
