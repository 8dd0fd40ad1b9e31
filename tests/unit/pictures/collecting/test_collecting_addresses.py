"""One spelling for an address, what is private, and what robots.txt says."""

import pytest

from graftgan.pictures.collecting.addresses import (
    Reach,
    is_same_server,
    parse_robots,
    reach_of,
    reach_of_name,
    tidy,
)
from graftgan.pictures.collecting.refusals import Refusal, RefusalReason


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("HTTP://Example.ORG:80/a.jpg#part", "http://example.org/a.jpg"),
        ("https://example.org:443", "https://example.org/"),
        ("https://example.org:8443/", "https://example.org:8443/"),
        ("https://example.org/%7efish/%c3%a9", "https://example.org/~fish/%C3%A9"),
        ("https://example.org/a b/é?q=ö&r=1+2", "https://example.org/a%20b/%C3%A9?q=%C3%B6&r=1+2"),
        ("https://example.org/100%", "https://example.org/100%25"),
        ("https://bücher.example/x", "https://xn--bcher-kva.example/x"),
        ("http://[::1]:80/x", "http://[::1]/x"),
        ("  https://example.org/x?u=https://b.example/y  ",
         "https://example.org/x?u=https://b.example/y"),
    ],
)  # fmt: skip
def test_one_spelling(given: str, expected: str):
    assert tidy(given) == expected
    assert tidy(expected) == expected


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("file:///etc/passwd", RefusalReason.NOT_HTTP),
        ("ftp://example.org/a.jpg", RefusalReason.NOT_HTTP),
        ("javascript:alert(1)", RefusalReason.NOT_HTTP),
        ("data:image/png;base64,AAAA", RefusalReason.NOT_HTTP),
        ("example.org/a.jpg", RefusalReason.BAD_ADDRESS),
        ("//example.org/a.jpg", RefusalReason.BAD_ADDRESS),
        ("http:///a.jpg", RefusalReason.BAD_ADDRESS),
        ("http://user:secret@example.org/", RefusalReason.BAD_ADDRESS),
        ("http://example.org:port/", RefusalReason.BAD_ADDRESS),
        ("http://example.org:99999/", RefusalReason.BAD_ADDRESS),
        ("http://exa mple.org/", RefusalReason.BAD_ADDRESS),
        ("http://example.org\r\nHost: evil/", RefusalReason.BAD_ADDRESS),
        ("http://[not an ip]/", RefusalReason.BAD_ADDRESS),
        ("http://" + "ü" * 70 + ".example/", RefusalReason.BAD_ADDRESS),
        ("", RefusalReason.BAD_ADDRESS),
        ("http://example.org/" + "a" * 10_000, RefusalReason.BAD_ADDRESS),
    ],
)
def test_what_is_no_address(address: str, reason: RefusalReason):
    with pytest.raises(Refusal) as refusal:
        tidy(address)
    assert refusal.value.reason is reason


@pytest.mark.parametrize(
    "ip",
    ["8.8.8.8", "172.32.0.1", "172.15.255.255", "100.63.0.1", "100.128.0.1", "198.17.0.1",
     "198.20.0.1", "192.0.1.1", "1.0.0.1", "223.255.255.1", "2606:4700::1111",
     "2a00:1450:4001::1", "192.88.98.1", "2001:200::1", "3ffe::1", "2001:4860::1:5efe:808:808"],
)  # fmt: skip
def test_public_addresses(ip: str):
    assert reach_of(ip) is Reach.PUBLIC


@pytest.mark.parametrize(
    "ip",
    ["127.0.0.1", "10.1.2.3", "192.168.0.9", "172.16.0.1", "100.64.0.1", "100.127.255.255",
     "0.0.0.0", "0.1.2.3", "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.19.255.255",
     "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "::", "::1", "fd00::1", "fec0::1",
     "ff02::1", "2001:db8::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::8.8.8.8",
     "64:ff9b::808:808", "64:ff9b::7f00:1", "64:ff9b:1::a00:1", "2002:808:808::1",
     "2002:7f00:1::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "192.88.99.1", "3fff::1",
     "2001:4860::5efe:808:808", "2001:4860::200:5efe:808:808", "2001:20::1", "5f00::1", "4000::1",
     "100::1", "e000::1"],
)  # fmt: skip
def test_addresses_that_are_not_public(ip: str):
    assert reach_of(ip) is Reach.PRIVATE


@pytest.mark.parametrize(
    "ip",
    ["169.254.169.254", "169.254.170.2", "169.254.0.1", "100.100.100.200", "168.63.129.16",
     "192.0.0.192", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fe80::1", "fe80::1%eth0",
     "::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a9fe:a9fe",
     "2002:a9fe:a9fe::1", "::a9fe:a9fe", "2001:0:4136:e378:8000:63bf:5601:5601",
     "2001:4860::5efe:a9fe:a9fe", "2001:4860::200:5efe:a9fe:a9fe"],
)  # fmt: skip
def test_addresses_that_are_never_asked(ip: str):
    assert reach_of(ip) is Reach.FORBIDDEN


def test_where_an_address_leads_by_its_own_words():
    for address in ("http://localhost:80/", "http://localhost./", "http://a.localhost/",
                    "http://127.0.0.1/", "http://[::1]/"):  # fmt: skip
        assert reach_of_name(address) is Reach.PRIVATE
    for address in ("http://example.org/", "http://localhost.example.org/"):
        assert reach_of_name(address) is Reach.PUBLIC
    assert reach_of_name("http://[fd00:ec2::254]/") is Reach.FORBIDDEN


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ("http://10.0.0.5/y", True),
        ("https://10.0.0.5/x", True),
        ("http://10.0.0.5:80/x", True),
        ("http://10.0.0.5:8080/x", False),
        ("https://10.0.0.5:8443/x", False),
        ("http://10.0.0.6/x", False),
    ],
)
def test_what_is_the_same_server(other: str, same: bool):
    assert is_same_server("http://10.0.0.5/x", other) is same
    assert is_same_server(other, "http://10.0.0.5/x") is same


# The examples of RFC 9309, sections 2.2.2, 2.2.3 and 5.
RFC_EXAMPLE = """
User-Agent: *
Disallow: *.gif$
Disallow: /example/
Allow: /publications/

User-Agent: foobot
Disallow:/
Allow:/example/page.html
Allow:/example/allowed.gif

User-Agent: barbot
User-Agent: graftgan
Disallow: /example/page.html

User-Agent: quxbot
"""


@pytest.mark.parametrize(
    ("rules", "path", "allowed"),
    [
        ("User-agent: *\nDisallow: /a", "/abc", False),
        ("User-agent: *\nDisallow: /a", "/b", True),
        ("User-agent: *\nDisallow:", "/a", True),
        ("User-agent: *\nDisallow: /\nAllow: /open/", "/open/x.jpg", True),
        ("User-agent: *\nDisallow: /\nAllow: /open/", "/closed/x.jpg", False),
        ("User-agent: *\nAllow: /page\nDisallow: /page", "/page", True),
        ("User-agent: *\nAllow: /example/page/\nDisallow: /example/page/disallowed.gif",
         "/example/page/disallowed.gif", False),
        ("User-agent: *\nDisallow: *.gif$", "/x/y.gif", False),
        ("User-agent: *\nDisallow: *.gif$", "/x/y.gif?size=2", True),
        ("User-agent: *\nDisallow: /a*z$", "/a/b/z", False),
        ("User-agent: *\nDisallow: /a*z$", "/a/b/z/", True),
        ("User-agent: *\nDisallow: /fish*/big", "/fishes/small/big.jpg", False),
        ("User-agent: *\nDisallow: /?q", "/?q=1", False),
        ("User-agent: other\nDisallow: /", "/a", True),
        ("User-agent: *\nDisallow: /\nUser-agent: graftgan/1.0\nDisallow: /b", "/a", True),
        ("User-agent: *\nDisallow: /\n\nUser-agent: GraftGAN\nDisallow:", "/a", True),
        ("# nothing\nDisallow: /", "/a", True),
        ("<html>not a robots.txt</html>", "/a", True),
        (RFC_EXAMPLE, "/example/page.html", False),
        (RFC_EXAMPLE, "/example/other.gif", True),
    ],
)  # fmt: skip
def test_robots(rules: str, path: str, allowed: bool):
    assert parse_robots(rules).allows(f"http://example.org{path}") == allowed


def test_the_pause_of_robots():
    assert parse_robots("User-agent: *\nCrawl-delay: 2.5").pause == 2.5
    assert parse_robots("User-agent: *\nCrawl-delay: 90000").pause == 60
    assert parse_robots("User-agent: *\nCrawl-delay: soon").pause is None
    assert parse_robots("User-agent: x\nCrawl-delay: 3").pause is None


def test_a_pattern_of_wildcards_is_not_slow():
    rules = parse_robots("User-agent: *\nDisallow: " + "/*a" * 500 + "b$")
    assert rules.allows("http://example.org/" + "/a" * 4000)
