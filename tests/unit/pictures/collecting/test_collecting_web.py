"""The client: faults into reasons, politeness, and no way into a private network."""

import io
import shutil
import socket
import ssl
import subprocess
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from collecting_services import StillClock

from fake_sites import (
    Answer,
    FakeSite,
    announced_short,
    as_json,
    endless,
    first,
    gzip_bomb,
    gzipped,
    jpeg,
    page,
    picture,
    redirect,
    reset,
    serve,
    shell_script,
    silence,
    slow_drip,
    slow_head,
    status,
    svg,
    too_short,
)
from graftgan.pictures.collecting import CollectSettings, web
from graftgan.pictures.collecting import guarded_connection as guarded
from graftgan.pictures.collecting.addresses import Reach
from graftgan.pictures.collecting.raw_set import ending_of
from graftgan.pictures.collecting.refusals import Refusal, RefusalReason
from graftgan.pictures.collecting.web import Clock, Request, Stopped, Web
from hostile_json import RAW

CAP = 200_000


@pytest.fixture
def client(clock: StillClock) -> Iterator[Callable[..., Web]]:
    """Make clients that do not wait, with the settings of the test."""
    opened: list[Web] = []

    def make(**settings: object) -> Web:
        short = {"pause": 0, "seconds": 5, "silence": 2, "tries": 3}
        opened.append(Web(CollectSettings(**{**short, **settings}), clock))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


def get(client: Web, address: str, **options: object) -> bytes:
    body = io.BytesIO()
    chosen = {"largest": CAP, "home": address, "check_start": ending_of, **options}
    client.download(address, body, Request(**chosen))
    return body.getvalue()


def refused(client: Web, address: str, **options: object) -> Refusal:
    with pytest.raises(Refusal) as refusal:
        get(client, address, **options)
    return refusal.value


@pytest.mark.parametrize(
    ("answer", "reason", "visits"),
    [
        (status(404), RefusalReason.NOT_FOUND, 1),
        (status(410), RefusalReason.NOT_FOUND, 1),
        (status(403), RefusalReason.FORBIDDEN, 1),
        (status(418), RefusalReason.OTHER_STATUS, 1),
        (status(204), RefusalReason.OTHER_STATUS, 1),
        (status(304), RefusalReason.OTHER_STATUS, 1),
        (status(500), RefusalReason.SERVER_ERROR, 3),
        (status(503, Retry_After="1"), RefusalReason.SERVER_ERROR, 3),
        (status(429), RefusalReason.TOO_MANY_REQUESTS, 3),
        (reset, RefusalReason.UNREACHABLE, 3),
        (too_short(jpeg(1)), RefusalReason.CUT_SHORT, 3),
        (page, RefusalReason.NOT_A_PICTURE, 1),
        (svg, RefusalReason.NOT_A_PICTURE, 1),
        (shell_script, RefusalReason.NOT_A_PICTURE, 1),
        (serve(b""), RefusalReason.NOT_A_PICTURE, 1),
        (serve(picture(1), Content_Encoding="br"), RefusalReason.NOT_A_PICTURE, 1),
        (serve(b"\x1f\x8b" + b"x" * 50, Content_Encoding="gzip"), RefusalReason.DAMAGED, 1),
        (gzip_bomb(), RefusalReason.TOO_LARGE, 1),
        (endless(), RefusalReason.TOO_LARGE, 1),
        (endless(10**10), RefusalReason.TOO_LARGE, 1),
        (redirect("/here"), RefusalReason.REDIRECTS, 6),
        (redirect("file:///etc/passwd"), RefusalReason.NOT_HTTP, 1),
        (redirect("ftp://127.0.0.1/x.jpg"), RefusalReason.NOT_HTTP, 1),
        (redirect("http://[bad"), RefusalReason.BAD_ADDRESS, 1),
    ],
)
def test_faults_become_reasons(
    site: FakeSite, client: Callable[..., Web], answer: Answer, reason: RefusalReason, visits: int
):
    address = site.put("/here", answer)
    assert refused(client(), address).reason is reason
    assert site.visits_to("/here") == visits


def test_a_bomb_is_small_before_it_unpacks(site: FakeSite, client: Callable[..., Web]):
    address = site.put("/bomb", gzip_bomb())
    with closing(urlopen(address)) as answer:
        assert len(answer.read()) < CAP, "or its length alone would be refused"
    tracemalloc.start()
    try:
        assert refused(client(), address).reason is RefusalReason.TOO_LARGE
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


def test_a_host_that_is_not_there(client: Callable[..., Web]):
    with FakeSite() as gone:
        address = gone.url
    assert refused(client(), address).reason is RefusalReason.UNREACHABLE


def test_healthy_answers(site: FakeSite, client: Callable[..., Web]):
    body = picture(7)
    assert get(client(), site.put("/plain", body)) == body
    assert get(client(), site.put("/packed", gzipped(body))) == body
    assert get(client(), site.put("/moved", redirect("/plain", 308))) == body
    flaky = site.put("/flaky", first(2, too_short(body), serve(body)))
    assert get(client(), flaky) == body, "what the failed tries left must be gone"
    announced = site.put("/fewer", announced_short(body, 90))
    assert get(client(), announced) == body[:90], "for the decoder to notice"


@pytest.mark.parametrize("answer", [slow_drip, slow_head, silence])
def test_slow_servers_are_given_up(site: FakeSite, client: Callable[..., Web], answer: Answer):
    begun = time.monotonic()
    refusal = refused(client(seconds=0.4, silence=0.3), site.put("/slow", answer))
    assert refusal.reason is RefusalReason.TOO_SLOW
    assert time.monotonic() - begun < 3
    assert site.visits_to("/slow") == 1


def test_a_body_without_end_is_left_soon(site: FakeSite, client: Callable[..., Web]):
    answer = endless()
    refused(client(), site.put("/endless", answer))
    time.sleep(0.05)
    assert CAP / 2 < answer.sent < 20e6, "what fits the buffers of the connection, no more"


def test_failed_requests_are_made_again_ever_later(
    site: FakeSite, client: Callable[..., Web], clock: StillClock
):
    refused(client(pause=1, tries=4), site.put("/x", status(500)))
    # Between tries: what the doubling asks for, then perhaps the rest of the pause of the host.
    backoffs = [wait for wait in clock.waits if wait >= 1]
    assert [low <= wait <= 2 * low for low, wait in zip((1, 2, 4), backoffs, strict=True)]
    assert 7 <= clock.time <= 14


@pytest.mark.parametrize("how", ["seconds", "date"])
def test_retry_after_is_honoured(
    site: FakeSite, client: Callable[..., Web], clock: StillClock, how: str
):
    later = datetime.now(UTC) + timedelta(seconds=41)
    asked = "40" if how == "seconds" else format_datetime(later, usegmt=True)
    busy = status(429, Retry_After=asked)
    assert get(client(), site.put("/x", first(1, busy, serve(picture(1))))) == picture(1)
    assert 35 <= clock.time <= 45


def test_nobody_waits_for_an_hour(site: FakeSite, client: Callable[..., Web], clock: StillClock):
    refusal = refused(client(), site.put("/x", status(429, Retry_After="3600")))
    assert refusal.reason is RefusalReason.TOO_MANY_REQUESTS
    assert (clock.time, site.visits_to("/x")) == (0, 1)


def test_requests_to_one_host_keep_their_distance(
    site: FakeSite, client: Callable[..., Web], clock: StillClock
):
    polite = client(pause=0.5)
    for number in range(5):
        get(polite, site.put(f"/{number}", picture(number + 1)))
    assert clock.time == pytest.approx(2.0)
    with FakeSite() as other:
        get(polite, other.put("/x", picture(9)))
    assert clock.time == pytest.approx(2.0), "another host has its own pause"


def test_how_we_introduce_ourselves(site: FakeSite, client: Callable[..., Web]):
    get(client(contact="me@example.org"), site.put("/x", picture(1)))
    (_, headers), *_ = site.visits
    assert headers["user-agent"].startswith("graftgan/")
    assert "me@example.org" in headers["user-agent"]
    assert headers["accept-encoding"] == "identity"


def test_robots_decide_where_they_are_asked(site: FakeSite, client: Callable[..., Web]):
    site.put("/robots.txt", b"User-agent: *\nDisallow: /private/\n")
    closed = site.put("/private/x.png", picture(1))
    opened = [site.put(f"/{n}.png", picture(n)) for n in (2, 3)]
    hidden = site.put("/to_private", redirect("/private/x.png"))
    asking = client()
    assert refused(asking, closed, asks_robots=True).reason is RefusalReason.ROBOTS
    assert refused(asking, hidden, asks_robots=True).reason is RefusalReason.ROBOTS
    assert all(get(asking, address, asks_robots=True) for address in opened)
    assert site.visits_to("/private/x.png") == 0
    assert site.visits_to("/robots.txt") == 1
    assert get(client(robots=False), closed, asks_robots=True)
    assert get(client(), closed, asks_robots=False)
    assert site.visits_to("/robots.txt") == 1


@pytest.mark.parametrize(
    ("answer", "allowed"),
    [(status(404), True), (status(403), True), (status(500), False), (reset, False), (page, True)],
)
def test_robots_that_cannot_be_read(
    site: FakeSite, client: Callable[..., Web], answer: Answer, allowed: bool
):
    site.put("/robots.txt", answer)
    address = site.put("/x.png", picture(1))
    if allowed:
        assert get(client(), address, asks_robots=True) == picture(1)
    else:
        assert refused(client(), address, asks_robots=True).reason.again
        assert site.visits_to("/x.png") == 0


def test_a_host_may_ask_for_longer_pauses(
    site: FakeSite, client: Callable[..., Web], clock: StillClock
):
    site.put("/robots.txt", b"User-agent: *\nCrawl-delay: 7\n")
    slow = client(pause=0.5)
    for number in (1, 2, 3):
        get(slow, site.put(f"/{number}", picture(number)), asks_robots=True)
    assert clock.time >= 14


def test_private_addresses_are_refused_before_anything_is_said(
    site: FakeSite, client: Callable[..., Web]
):
    address = site.put("/x.png", picture(1))
    assert refused(client(), address, home=None).reason is RefusalReason.PRIVATE_ADDRESS
    assert site.visits == []
    assert get(client(allow_private=True), address, home=None) == picture(1)


def test_a_name_that_leads_to_a_private_address_is_refused(
    site: FakeSite, client: Callable[..., Web], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(web, "reach_of_name", lambda _address: Reach.PUBLIC)
    address = site.put("/x.png", picture(1))
    strict = client()
    assert refused(strict, address, home=None).reason is RefusalReason.PRIVATE_ADDRESS
    assert site.visits == []
    # A connection that somebody else was allowed to make is not used either.
    assert get(strict, address) == picture(1)
    assert refused(strict, address, home=None).reason is RefusalReason.PRIVATE_ADDRESS
    assert site.visits_to("/x.png") == 1


def test_a_redirect_into_a_private_network_is_refused(
    site: FakeSite, client: Callable[..., Web], monkeypatch: pytest.MonkeyPatch
):
    """Here 127.0.0.1 stands for the world, and 127.0.0.2 for the private network."""
    monkeypatch.setattr(web, "reach_of_name", lambda _address: Reach.PUBLIC)
    reaches = {"127.0.0.1": Reach.PUBLIC, "127.0.0.2": Reach.PRIVATE}
    monkeypatch.setattr(guarded, "reach_of", reaches.__getitem__)
    with FakeSite("127.0.0.2") as inside:
        secret = inside.put("/secret.png", picture(1))
        address = site.put("/x.png", redirect(secret))
        refusal = refused(client(), address, home=None)
        assert refusal.reason is RefusalReason.PRIVATE_ADDRESS
        assert inside.visits == []
        assert get(client(allow_private=True), address, home=None) == picture(1)


def test_a_private_start_opens_no_other_private_address(site: FakeSite, client: Callable[..., Web]):
    with FakeSite() as other, FakeSite("127.0.0.2") as inside:
        for neighbour in (other, inside):
            secret = neighbour.put("/secret.png", picture(1))
            address = site.put("/x.png", redirect(secret))
            refusal = refused(client(), address)
            assert refusal.reason is RefusalReason.PRIVATE_ADDRESS
            assert neighbour.visits == []
            assert get(client(allow_private=True), address) == picture(1)
    own = site.put("/y.png", redirect(site.put("/z.png", picture(2))))
    assert get(client(), own) == picture(2)


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://[fd00:ec2::254]/latest/meta-data/",
        "http://[::ffff:169.254.169.254]/",
        "http://[64:ff9b::a9fe:a9fe]/",
        "http://[fe80::1]/",
        "http://100.100.100.200/",
    ],
)
@pytest.mark.parametrize("allow_private", [False, True])
def test_the_secrets_of_a_cloud_are_never_asked_for(
    site: FakeSite,
    client: Callable[..., Web],
    monkeypatch: pytest.MonkeyPatch,
    target: str,
    allow_private: bool,
):
    address = site.put("/x.png", redirect(target))
    strict = client(allow_private=allow_private, seconds=60, silence=60)
    monkeypatch.setattr(strict, "_answer", no_more_than_once(strict._answer))
    for start in (address, target):
        assert refused(strict, start).detail.endswith("is never contacted")


def no_more_than_once(answer: Callable[..., str | None]) -> Callable[..., str | None]:
    """Return a client's way to ask that fails the test when it goes beyond 127.0.0.1."""

    def asked(address: str, *rest: object) -> str | None:
        assert address.startswith("http://127.0.0.1")
        return answer(address, *rest)

    return asked


def test_a_name_that_leads_to_secrets_is_refused_whoever_allows_what(
    site: FakeSite, client: Callable[..., Web], monkeypatch: pytest.MonkeyPatch
):
    """The name is looked at where it has led, so that no second look-up can differ."""
    monkeypatch.setattr(guarded, "reach_of", lambda _ip: Reach.FORBIDDEN)
    address = site.put("/x.png", picture(1))
    assert refused(client(allow_private=True), address).reason is RefusalReason.PRIVATE_ADDRESS
    assert site.visits == []


def test_nothing_is_said_to_a_private_server_not_even_a_greeting(
    client: Callable[..., Web], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(web, "reach_of_name", lambda _address: Reach.PUBLIC)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        address = f"https://127.0.0.1:{server.getsockname()[1]}/x.png"
        assert refused(client(tries=1), address, home=None).reason is RefusalReason.PRIVATE_ADDRESS
        visitor, _ = server.accept()
        with visitor:
            visitor.settimeout(10)
            assert visitor.recv(100) == b"", "TLS begins with a greeting"


@pytest.fixture
def secure_site(tmp_path: Path) -> Iterator[tuple[FakeSite, Path]]:
    """A site with https, and the certificate that has to be trusted for it."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("a certificate is made with openssl")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    request = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=here"
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate]
    subprocess.run([openssl, *request.split(), *names], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with FakeSite(tls=context) as site:
        yield site, certificate


def test_https_is_checked_and_on_the_leash(
    secure_site: tuple[FakeSite, Path],
    client: Callable[..., Web],
    monkeypatch: pytest.MonkeyPatch,
):
    site, certificate = secure_site
    address = site.put("/x.png", picture(1))
    stranger = refused(client(), address)
    assert (stranger.reason, stranger.detail) == (
        RefusalReason.UNREACHABLE,
        "its certificate is not accepted",
    )
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    trusting = client(seconds=0.5)
    assert get(trusting, address) == picture(1)
    assert refused(trusting, site.put("/slow", slow_drip)).reason is RefusalReason.TOO_SLOW
    monkeypatch.setattr(web, "reach_of_name", lambda _address: Reach.PUBLIC)
    assert refused(trusting, address, home=None).reason is RefusalReason.PRIVATE_ADDRESS
    assert site.visits_to("/x.png") == 1


def test_a_token_stays_with_its_host(site: FakeSite, client: Callable[..., Web]):
    with FakeSite() as other:
        other.put("/data", as_json({"fine": True}))
        site.put("/api", redirect(f"{other.url}/data"))
        asked = client(allow_private=True)
        assert asked.listing(f"{site.url}/api", {"q": "x"}, token="secret") == {"fine": True}
        assert site.visits[0][1]["authorization"] == "Bearer secret"
        assert "authorization" not in other.visits[0][1]


def test_what_is_no_json(site: FakeSite, client: Callable[..., Web]):
    site.put("/api", page)
    with pytest.raises(Refusal, match="JSON"):
        client().listing(f"{site.url}/api", {})


def test_closing_ends_what_is_on_its_way(site: FakeSite, clock: StillClock):
    import threading

    address = site.put("/slow", slow_drip)
    with closing(Web(CollectSettings(pause=0, seconds=60), clock)) as client:
        threading.Timer(0.2, client.close).start()
        begun = time.monotonic()
        assert refused(client, address).reason is RefusalReason.TOO_SLOW
        assert time.monotonic() - begun < 5


def test_an_answer_that_was_whole_when_all_ended_is_not_called_slow(
    site: FakeSite, monkeypatch: pytest.MonkeyPatch
):
    """A full disk ends every connection; what came in meanwhile is asked for again later."""
    whole, clock = web._take, Clock()
    client = Web(CollectSettings(pause=0, allow_private=True), clock)

    def take_and_end(*given: Any) -> Any:
        taken = whole(*given)
        clock.stop()
        client.close()
        return taken

    monkeypatch.setattr(web, "_take", take_and_end)
    address = site.put("/x.png", serve(b"content"))
    with pytest.raises(Stopped):
        client.download(address, io.BytesIO(), Request(largest=1000))


@pytest.mark.parametrize("content", RAW.values(), ids=RAW)
def test_an_api_that_answers_with_anything_is_refused(
    site: FakeSite, client: Callable[..., Web], content: bytes
):
    site.put("/api", serve(content))
    if content.startswith(b"[1"):
        assert client().listing(f"{site.url}/api", {}) == [1, 2, 3]
        return
    with pytest.raises(Refusal, match="does not answer with JSON"):
        client().listing(f"{site.url}/api", {})
