"""Why a picture was not collected: a fixed set of reasons, and those of HTTP answers and errors."""

from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum

from urllib3 import BaseHTTPResponse, exceptions

from graftgan.pictures.collecting.settings import CollectSettings


class RefusalReason(Enum):
    """Why an address gave no picture; the value is shown to users and in ``refused.jsonl``."""

    BAD_ADDRESS = "bad address"
    NOT_HTTP = "not http"
    PRIVATE_ADDRESS = "private address"
    ROBOTS = "robots.txt forbids it"
    NOT_FOUND = "not found"
    FORBIDDEN = "forbidden"
    OTHER_STATUS = "unexpected answer"
    SERVER_ERROR = "server error"
    TOO_MANY_REQUESTS = "too many requests"
    UNREACHABLE = "unreachable"
    TOO_SLOW = "too slow"
    REDIRECTS = "too many redirects"
    CUT_SHORT = "cut short"
    TOO_LARGE = "too large"
    NOT_A_PICTURE = "not a picture"
    DAMAGED = "damaged"
    TOO_MANY_PIXELS = "too many pixels"
    UNUSABLE = "unusable"
    UNREADABLE = "cannot be read"

    @property
    def passes(self) -> bool:
        """Whether it is temporary, so that the same request is retried."""
        return self in (
            RefusalReason.SERVER_ERROR,
            RefusalReason.TOO_MANY_REQUESTS,
            RefusalReason.UNREACHABLE,
            RefusalReason.CUT_SHORT,
        )

    @property
    def again(self) -> bool:
        """Whether ``--retry-refused`` tries it: it may work later or with other settings."""
        return self.passes or self in (
            RefusalReason.FORBIDDEN,
            RefusalReason.TOO_SLOW,
            RefusalReason.UNREADABLE,
            RefusalReason.PRIVATE_ADDRESS,
            RefusalReason.ROBOTS,
            RefusalReason.TOO_LARGE,
        )


class Refusal(Exception):  # noqa: N818 - becomes a line of refused.jsonl, not an error
    """A picture is not collected: the reason, and details for the user.

    ``wait_s`` are the seconds that the server asks to wait before the next request, if any.
    """

    def __init__(
        self, reason: RefusalReason, detail: str = "", *, wait_s: float | None = None
    ) -> None:
        super().__init__(f"{reason.value} ({detail})" if detail else reason.value)
        self.reason = reason
        self.detail = detail
        self.wait_s = wait_s


_BY_STATUS = {
    **dict.fromkeys((401, 403, 451), RefusalReason.FORBIDDEN),
    **dict.fromkeys((404, 410), RefusalReason.NOT_FOUND),
    408: RefusalReason.SERVER_ERROR,
    429: RefusalReason.TOO_MANY_REQUESTS,
}


def refused_status(answer: BaseHTTPResponse) -> Refusal:
    """Return the reason for an answer with a status other than 200."""
    other = RefusalReason.SERVER_ERROR if answer.status >= 500 else RefusalReason.OTHER_STATUS
    reason = _BY_STATUS.get(answer.status, other)
    return Refusal(reason, f"status {answer.status}", wait_s=_asked_wait(answer))


def refusal_of(error: Exception, settings: CollectSettings, *, time_is_up: bool) -> Refusal:
    """Return why there is no complete answer, from what the client raised."""
    if time_is_up:
        return Refusal(RefusalReason.TOO_SLOW, f"not done after {settings.seconds:g} seconds")
    if isinstance(error, Refusal):
        return error
    if isinstance(error, exceptions.ConnectTimeoutError | exceptions.NewConnectionError):
        return Refusal(RefusalReason.UNREACHABLE, "no connection")
    if isinstance(error, exceptions.ReadTimeoutError):
        return Refusal(RefusalReason.TOO_SLOW, f"silent for {settings.silence:g} seconds")
    if any(isinstance(part, exceptions.IncompleteRead) for part in (error, *error.args)):
        return Refusal(RefusalReason.CUT_SHORT, "fewer bytes than announced")
    if isinstance(error, exceptions.SSLError):
        return Refusal(RefusalReason.UNREACHABLE, "its certificate is not accepted")
    if isinstance(error, exceptions.LocationValueError | ValueError):
        return Refusal(RefusalReason.BAD_ADDRESS, type(error).__name__)
    return Refusal(RefusalReason.UNREACHABLE, "the connection broke")


def _asked_wait(answer: BaseHTTPResponse) -> float | None:
    asked = answer.headers.get("Retry-After", "").strip()
    if asked.isdecimal():
        return float(asked[:9])
    with suppress(ValueError):
        when = parsedate_to_datetime(asked)
        when = when if when.tzinfo else when.replace(tzinfo=UTC)
        return max(0.0, (when - datetime.now(UTC)).total_seconds())
    return None
