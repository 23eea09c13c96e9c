"""The certificates that the configuration names, as the context that clients of Kafka take."""

from __future__ import annotations

import ssl


def context(cafile: str = "", certfile: str = "", keyfile: str = "", password: str = "") -> ssl.SSLContext:
    """Return a context that trusts *cafile* (the system's own authorities without one) and checks the host's name.

    With *certfile* the client shows that certificate; its key is in *keyfile*, or in the same file. ValueError says
    what is wrong with a file, and quotes nothing of it.
    """
    try:
        made = ssl.create_default_context(cafile=cafile or None)
    except (OSError, ValueError) as error:
        raise ValueError(f"ssl_cafile {_why(error)}; name the PEM file of who signed Kafka's certificate") from error
    if certfile:
        try:
            # Given always: OpenSSL asks on the terminal for a password that it lacks.
            made.load_cert_chain(certfile, keyfile or None, password=lambda: password)
        except (OSError, ValueError) as error:
            message = f"ssl_certfile or ssl_keyfile {_why(error)}; name PEM files that belong together"
            raise ValueError(message) from error
    return made


def _why(error: OSError | ValueError) -> str:
    """Return what is wrong, without the path: a secret that was read in its place would be told."""
    if isinstance(error, ssl.SSLError):
        return f"cannot be used ({error.reason or 'no certificate or key in it'})"
    why = error.strerror if isinstance(error, OSError) else "no path"
    return f"cannot be read ({why})"
