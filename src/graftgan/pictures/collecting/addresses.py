"""Web addresses: their normal form, where they lead, and what robots.txt allows."""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from urllib.parse import quote, urlsplit, urlunsplit

from graftgan.pictures.collecting.refusals import Refusal, RefusalReason

_DEFAULT_PORTS = {"http": 80, "https": 443}
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_PATH_SAFE = "/%:@!$&'()*+,;=~"
_QUERY_SAFE = _PATH_SAFE + "?[]|"
LONGEST_ADDRESS = 8_000  # characters of an address
LARGEST_ROBOTS = 512_000  # bytes; RFC 9309 asks for at least 500 KiB
_OUR_NAME = "graftgan"
_LONGEST_PAUSE = 60.0  # seconds; the most that a host gets, whatever it asks for

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _networks(names: str) -> tuple[_Network, ...]:
    return tuple(ipaddress.ip_network(name) for name in names.split())


# Link-local addresses and the metadata services of clouds, which hold secrets and no pictures.
_FORBIDDEN = _networks(
    "169.254.0.0/16 100.100.100.200/32 168.63.129.16/32 192.0.0.192/32 "
    "fd00:ec2::/32 fd20:ce::/32 fe80::/10"
)
# Not public, whatever the version of Python says; of IPv6, only 2000::/3 is assigned.
_NOT_PUBLIC = _networks(
    "0.0.0.0/8 100.64.0.0/10 192.0.0.0/24 192.88.99.0/24 198.18.0.0/15 "
    "::/3 2001::/23 2002::/16 3fff::/20 4000::/2 8000::/1"
)
_ENDS_IN_IPV4 = _networks("::/96 64:ff9b::/96 64:ff9b:1::/48")
_ISATAP = frozenset({0x00005EFE, 0x02005EFE})  # before an IPv4 address (RFC 5214)


class Reach(Enum):
    """Where an address leads: to the internet, into a private network, or to a cloud's secrets."""

    PUBLIC = "public"
    PRIVATE = "private"
    FORBIDDEN = "forbidden"


def tidy(address: str) -> str:
    """Return ``address`` in its normal form, without a fragment.

    Raises:
        Refusal: It is not an address, not http or https, or contains a password.
    """
    text = address.strip()
    if not text or len(text) > LONGEST_ADDRESS or any(ord(c) < 32 or ord(c) == 127 for c in text):
        raise Refusal(RefusalReason.BAD_ADDRESS, "empty, too long or with control characters")
    try:
        parts = urlsplit(text)
        port = parts.port
        host = _ascii_host(parts.hostname or "")
    except ValueError as error:  # UnicodeError is one
        raise Refusal(RefusalReason.BAD_ADDRESS, str(error)) from None
    if not parts.scheme:
        raise Refusal(RefusalReason.BAD_ADDRESS, "it does not start with http:// or https://")
    if parts.scheme not in _DEFAULT_PORTS:
        raise Refusal(RefusalReason.NOT_HTTP, f"its scheme is {parts.scheme[:20]}")
    if not host:
        raise Refusal(RefusalReason.BAD_ADDRESS, "it names no host")
    if parts.username is not None:
        raise Refusal(RefusalReason.BAD_ADDRESS, "it contains a user name or password")
    place = host if port in (None, _DEFAULT_PORTS[parts.scheme]) else f"{host}:{port}"
    path = _tidy_escapes(quote(parts.path or "/", safe=_PATH_SAFE, errors="replace"))
    query = _tidy_escapes(quote(parts.query, safe=_QUERY_SAFE, errors="replace"))
    return urlunsplit((parts.scheme, place, path, query, ""))


def host_of(address: str) -> str:
    """Return the host and port of a tidy address, for which requests are rate-limited."""
    return urlsplit(address).netloc


def reach_of_name(address: str) -> Reach:
    """Return where a tidy address leads by its text; a host name counts as public."""
    host = (urlsplit(address).hostname or "").rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return Reach.PRIVATE
    try:
        return reach_of(host)
    except ValueError:
        return Reach.PUBLIC


def reach_of(ip: str) -> Reach:
    """Return where an IP address leads; ValueError: it is not one.

    Only an address that is public by every rule is public: an IPv6 address that carries an IPv4
    one (mapped, translated or tunnelled) is not, and is forbidden if the IPv4 address is.
    """
    parsed = ipaddress.ip_address(ip.partition("%")[0])
    carried = _carried_by(parsed)
    if any(_is_in(one, _FORBIDDEN) for one in (parsed, *carried)):
        return Reach.FORBIDDEN
    is_public = parsed.is_global and not (parsed.is_multicast or parsed.is_reserved or carried)
    return Reach.PUBLIC if is_public and not _is_in(parsed, _NOT_PUBLIC) else Reach.PRIVATE


def is_same_server(address: str, other: str) -> bool:
    """Return whether two tidy addresses have the same host and port, http and https being equal."""
    one, two = urlsplit(address), urlsplit(other)
    ports = {part.port or _DEFAULT_PORTS[part.scheme] for part in (one, two)}
    return one.hostname == two.hostname and (len(ports) == 1 or ports == {80, 443})


def private_home(address: str) -> str | None:
    """Return an address that the user gave, tidy, if it is private by its text; otherwise None."""
    try:
        tidied = tidy(address)
    except Refusal:
        return None
    return tidied if reach_of_name(tidied) is Reach.PRIVATE else None


def _carried_by(address: _Address) -> list[ipaddress.IPv4Address]:
    """Return the IPv4 addresses that an IPv6 address carries."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    carried = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if _is_in(address, _ENDS_IN_IPV4) or (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
        carried.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [one for one in carried if one is not None]


def _is_in(address: _Address, networks: Iterable[_Network]) -> bool:
    return any(address.version == one.version and address in one for one in networks)


def _ascii_host(host: str) -> str:
    if ":" in host:  # an IPv6 address lost its brackets
        return f"[{ipaddress.IPv6Address(host.partition('%')[0]).compressed}]"
    encoded = host if host.isascii() else host.encode("idna").decode("ascii")
    if not re.fullmatch(r"[A-Za-z0-9._-]*", encoded):
        raise ValueError(f"{host!r} is not a host name")
    return encoded.lower()


def _tidy_escapes(text: str) -> str:
    def tidied(match: re.Match[str]) -> str:
        value = int(match[1] or "25", 16)  # a lone % is one itself
        return chr(value) if value in _UNRESERVED else f"%{value:02X}"

    return re.sub("%([0-9a-fA-F]{2})|%", tidied, text)


@dataclass(frozen=True, slots=True)
class Robots:
    """What a host asks of crawlers: rules as (allowed, path pattern), and a pause in seconds.

    The longest rule that matches decides (RFC 9309).
    """

    rules: tuple[tuple[bool, str], ...] = ()
    pause: float | None = None

    def allows(self, address: str) -> bool:
        """Return whether ``address`` may be fetched."""
        parts = urlsplit(address)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        found = [(len(p), allowed) for allowed, p in self.rules if _matches(p, path)]
        return max(found, default=(0, True))[1]  # of equally long rules, one that allows wins


def parse_robots(text: str) -> Robots:
    """Return the rules of a robots.txt for us, or else those for everybody."""
    rules: dict[str, list[tuple[bool, str]]] = {}  # by "*" and our name
    pauses: dict[str, float] = {}
    current: set[str] = set()
    names_go_on = False
    for line in text.splitlines():
        key, colon, value = line.partition("#")[0].partition(":")
        key, value = key.strip().lower(), value.strip()
        if colon and key == "user-agent":
            current = current if names_go_on else set()
            names_go_on = True
            product = {value.lower().partition("/")[0]} & {_OUR_NAME}
            current = current | ({"*"} if value == "*" else product)
            for name in current:
                rules.setdefault(name, [])
        elif colon and key in ("allow", "disallow", "crawl-delay"):
            names_go_on = False
            for name in current:
                if key == "crawl-delay":
                    if re.fullmatch(r"\d+(\.\d+)?", value):
                        pauses[name] = min(float(value), _LONGEST_PAUSE)
                elif value:  # an empty path has no effect
                    rules[name].append((key == "allow", value))
    ours = _OUR_NAME if _OUR_NAME in rules else "*"
    return Robots(tuple(rules.get(ours, ())), pauses.get(ours))


def _matches(pattern: str, path: str) -> bool:
    """Return whether the path begins with the pattern, where ``*`` is anything and ``$`` the end.

    Wildcards are matched piece by piece from the left, so that no pattern is slow.
    """
    is_whole = pattern.endswith("$")
    first, *rest = pattern.removesuffix("$").split("*")
    if not path.startswith(first):
        return False
    position = len(first)
    if not rest:
        return position == len(path) or not is_whole
    *middle, last = rest
    for piece in middle:
        found = path.find(piece, position)
        if found < 0:
            return False
        position = found + len(piece)
    if is_whole:
        return path.endswith(last) and len(path) - len(last) >= position
    return path.find(last, position) >= 0
