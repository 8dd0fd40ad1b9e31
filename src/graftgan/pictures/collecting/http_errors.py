"""From what a server answers, or the client raises, to a reason."""

from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from urllib3 import BaseHTTPResponse, exceptions

from graftgan.pictures.collecting.reasons import Refusal, RefusalReason
from graftgan.pictures.collecting.settings import CollectSettings


def refused_status(answer: BaseHTTPResponse) -> Refusal:
    """Return why an answer with another status than 200 gives no picture."""
    status = answer.status
    reason = {
        401: RefusalReason.FORBIDDEN,
        403: RefusalReason.FORBIDDEN,
        451: RefusalReason.FORBIDDEN,
        404: RefusalReason.NOT_FOUND,
        410: RefusalReason.NOT_FOUND,
        408: RefusalReason.SERVER_ERROR,
        429: RefusalReason.TOO_MANY_REQUESTS,
    }.get(status, RefusalReason.SERVER_ERROR if status >= 500 else RefusalReason.OTHER_STATUS)
    return Refusal(reason, f"status {status}", wait_s=_asked_wait(answer))


def refusal_of(error: Exception, settings: CollectSettings, *, time_is_up: bool) -> Refusal:
    """Return why there is no answer, or not the whole of it, from what the client raised."""
    if time_is_up:
        return Refusal(RefusalReason.TOO_SLOW, f"not done after {settings.seconds:g} seconds")
    if isinstance(error, Refusal):
        return error
    if isinstance(error, exceptions.ConnectTimeoutError | exceptions.NewConnectionError):
        return Refusal(RefusalReason.UNREACHABLE, "no connection")
    if isinstance(error, exceptions.ReadTimeoutError):
        return Refusal(RefusalReason.TOO_SLOW, f"silent for {settings.silence:g} seconds")
    if isinstance(error, exceptions.IncompleteRead) or _is_incomplete(error):
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


def _is_incomplete(error: Exception) -> bool:
    return any(isinstance(part, exceptions.IncompleteRead) for part in error.args)
