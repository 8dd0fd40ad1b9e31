"""Web addresses: one spelling for each, http and https only, and which are private."""

import ipaddress
import re
from urllib.parse import quote, urlsplit, urlunsplit

from graftgan.collecting.reasons import Reason, Refusal

_DEFAULT_PORTS = {"http": 80, "https": 443}
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_PATH_SAFE = "/%:@!$&'()*+,;=~"
_QUERY_SAFE = _PATH_SAFE + "?[]|"
LONGEST = 8_000  # characters of an address


def tidy(address: str) -> str:
    """Return ``address`` in the one spelling that stands for it, without a fragment.

    Raises:
        Refusal: It is no address, not of http or https, or holds a password.
    """
    text = address.strip()
    if not text or len(text) > LONGEST or any(ord(c) < 32 or ord(c) == 127 for c in text):
        raise Refusal(Reason.BAD_ADDRESS, "empty, too long or with control characters")
    try:
        parts = urlsplit(text)
        port = parts.port
        host = _ascii_host(parts.hostname or "")
    except ValueError as error:  # UnicodeError is one
        raise Refusal(Reason.BAD_ADDRESS, str(error)) from None
    if parts.scheme not in _DEFAULT_PORTS:
        _refuse_scheme(parts.scheme)
    if not host:
        raise Refusal(Reason.BAD_ADDRESS, "it names no host")
    if parts.username is not None:
        raise Refusal(Reason.BAD_ADDRESS, "it holds a user name or password")
    place = host if port in (None, _DEFAULT_PORTS[parts.scheme]) else f"{host}:{port}"
    path = _tidy_escapes(quote(parts.path or "/", safe=_PATH_SAFE, errors="replace"))
    query = _tidy_escapes(quote(parts.query, safe=_QUERY_SAFE, errors="replace"))
    return urlunsplit((parts.scheme, place, path, query, ""))


def host_of(address: str) -> str:
    """Return the host and port of a tidy address, which requests are spaced by."""
    return urlsplit(address).netloc


def names_private_host(address: str) -> bool:
    """Return whether a tidy address itself says that it is of this machine or a private network."""
    host = urlsplit(address).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return is_private(host)
    except ValueError:
        return False  # a name; where it leads is seen when it is connected to


def is_private(ip: str) -> bool:
    """Return whether an IP address is of this machine, a private network or otherwise not public.

    Raises:
        ValueError: It is no IP address.
    """
    parsed = ipaddress.ip_address(ip)
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return not parsed.is_global


def _ascii_host(host: str) -> str:
    if ":" in host:  # an IPv6 address lost its brackets
        return f"[{ipaddress.IPv6Address(host.partition('%')[0]).compressed}]"
    encoded = host if host.isascii() else host.encode("idna").decode("ascii")
    if not re.fullmatch(r"[A-Za-z0-9._-]*", encoded):
        raise ValueError(f"no host is called {host!r}")
    return encoded.lower()


def _refuse_scheme(scheme: str) -> None:
    if not scheme:
        raise Refusal(Reason.BAD_ADDRESS, "it does not start with http:// or https://")
    raise Refusal(Reason.NOT_HTTP, f"its scheme is {scheme[:20]}")


def _tidy_escapes(text: str) -> str:
    return re.sub("%([0-9a-fA-F]{2})|%", _tidy_escape, text)


def _tidy_escape(match: re.Match[str]) -> str:
    if match[1] is None:
        return "%25"
    value = int(match[1], 16)
    return chr(value) if value in _UNRESERVED else f"%{value:02X}"
