"""Web addresses: one spelling for each, http and https only, and which are private."""

import ipaddress
import re
from collections.abc import Iterable
from enum import Enum
from urllib.parse import quote, urlsplit, urlunsplit

from graftgan.pictures.collecting.reasons import Refusal, RefusalReason

_DEFAULT_PORTS = {"http": 80, "https": 443}
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_PATH_SAFE = "/%:@!$&'()*+,;=~"
_QUERY_SAFE = _PATH_SAFE + "?[]|"
LONGEST = 8_000  # characters of an address

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _networks(*names: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(name) for name in names)


# Where clouds tell a machine its secrets, and the link it is on: no picture lies there.
_FORBIDDEN = _networks(
    "169.254.0.0/16",
    "100.100.100.200/32",
    "168.63.129.16/32",
    "192.0.0.192/32",
    "fd00:ec2::/32",
    "fd20:ce::/32",
    "fe80::/10",
)
# Not public, whatever the version of Python thinks of them.
_NOT_PUBLIC = _networks(
    "0.0.0.0/8",
    "100.64.0.0/10",
    "192.0.0.0/24",
    "192.88.99.0/24",
    "198.18.0.0/15",
    "::/3",  # of IPv6, 2000::/3 alone is given out
    "2001::/23",
    "2002::/16",
    "3fff::/20",
    "4000::/2",
    "8000::/1",
)
_ENDS_IN_IPV4 = _networks("::/96", "64:ff9b::/96", "64:ff9b:1::/48")
_ISATAP = frozenset({0x00005EFE, 0x02005EFE})  # before an IPv4 address (RFC 5214)


class Reach(Enum):
    """Where an address leads: to the world, into a network of somebody's own, or to secrets."""

    PUBLIC = "public"
    PRIVATE = "private"
    FORBIDDEN = "forbidden"


def tidy(address: str) -> str:
    """Return ``address`` in the one spelling that stands for it, without a fragment.

    Raises:
        Refusal: It is no address, not of http or https, or holds a password.
    """
    text = address.strip()
    if not text or len(text) > LONGEST or any(ord(c) < 32 or ord(c) == 127 for c in text):
        raise Refusal(RefusalReason.BAD_ADDRESS, "empty, too long or with control characters")
    try:
        parts = urlsplit(text)
        port = parts.port
        host = _ascii_host(parts.hostname or "")
    except ValueError as error:  # UnicodeError is one
        raise Refusal(RefusalReason.BAD_ADDRESS, str(error)) from None
    if parts.scheme not in _DEFAULT_PORTS:
        _refuse_scheme(parts.scheme)
    if not host:
        raise Refusal(RefusalReason.BAD_ADDRESS, "it names no host")
    if parts.username is not None:
        raise Refusal(RefusalReason.BAD_ADDRESS, "it holds a user name or password")
    place = host if port in (None, _DEFAULT_PORTS[parts.scheme]) else f"{host}:{port}"
    path = _tidy_escapes(quote(parts.path or "/", safe=_PATH_SAFE, errors="replace"))
    query = _tidy_escapes(quote(parts.query, safe=_QUERY_SAFE, errors="replace"))
    return urlunsplit((parts.scheme, place, path, query, ""))


def host_of(address: str) -> str:
    """Return the host and port of a tidy address, which requests are spaced by."""
    return urlsplit(address).netloc


def reach_of_name(address: str) -> Reach:
    """Return where a tidy address leads by its own words; a name is public until it is looked up.

    Where a name leads is seen when it is connected to.
    """
    host = (urlsplit(address).hostname or "").rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return Reach.PRIVATE
    try:
        return reach_of(host)
    except ValueError:
        return Reach.PUBLIC


def reach_of(ip: str) -> Reach:
    """Return where an IP address leads.

    Only what is public by every rule is public: an IPv6 address that carries an IPv4 one (mapped,
    translated or tunnelled) is not, wherever that leads, and is forbidden where that is.

    Raises:
        ValueError: It is no IP address.
    """
    parsed = ipaddress.ip_address(ip.partition("%")[0])
    carried = _carried_by(parsed)
    if any(_is_in(one, _FORBIDDEN) for one in (parsed, *carried)):
        return Reach.FORBIDDEN
    is_public = parsed.is_global and not (parsed.is_multicast or parsed.is_reserved or carried)
    return Reach.PUBLIC if is_public and not _is_in(parsed, _NOT_PUBLIC) else Reach.PRIVATE


def is_same_server(address: str, other: str) -> bool:
    """Return whether two tidy addresses are of one host and port, or of one host and its https."""
    one, two = urlsplit(address), urlsplit(other)
    ports = {part.port or _DEFAULT_PORTS[part.scheme] for part in (one, two)}
    return one.hostname == two.hostname and (len(ports) == 1 or ports == {80, 443})


def _carried_by(address: Address) -> list[ipaddress.IPv4Address]:
    """Return the IPv4 addresses that an IPv6 address stands for."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    carried = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if _is_in(address, _ENDS_IN_IPV4) or (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
        carried.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [one for one in carried if one is not None]


def _is_in(address: Address, networks: Iterable[Network]) -> bool:
    return any(address.version == one.version and address in one for one in networks)


def _ascii_host(host: str) -> str:
    if ":" in host:  # an IPv6 address lost its brackets
        return f"[{ipaddress.IPv6Address(host.partition('%')[0]).compressed}]"
    encoded = host if host.isascii() else host.encode("idna").decode("ascii")
    if not re.fullmatch(r"[A-Za-z0-9._-]*", encoded):
        raise ValueError(f"no host is called {host!r}")
    return encoded.lower()


def _refuse_scheme(scheme: str) -> None:
    if not scheme:
        raise Refusal(RefusalReason.BAD_ADDRESS, "it does not start with http:// or https://")
    raise Refusal(RefusalReason.NOT_HTTP, f"its scheme is {scheme[:20]}")


def _tidy_escapes(text: str) -> str:
    return re.sub("%([0-9a-fA-F]{2})|%", _tidy_escape, text)


def _tidy_escape(match: re.Match[str]) -> str:
    if match[1] is None:
        return "%25"
    value = int(match[1], 16)
    return chr(value) if value in _UNRESERVED else f"%{value:02X}"
