"""Why a picture was not collected: a short fixed vocabulary, and the exception that carries it."""

from enum import Enum


class RefusalReason(Enum):
    """Why an address gave no picture; the value is what people and ``refused.jsonl`` read."""

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
        """Whether it may be gone in a moment, so that the same request is made again."""
        return self in _PASSING

    @property
    def again(self) -> bool:
        """Whether another day or other settings may help, so that ``--retry-refused`` tries it."""
        return self in _PASSING or self in _MAY_CHANGE


_PASSING = frozenset(
    (
        RefusalReason.SERVER_ERROR,
        RefusalReason.TOO_MANY_REQUESTS,
        RefusalReason.UNREACHABLE,
        RefusalReason.CUT_SHORT,
    )
)
_MAY_CHANGE = frozenset(
    (
        RefusalReason.FORBIDDEN,
        RefusalReason.TOO_SLOW,
        RefusalReason.UNREADABLE,
        RefusalReason.PRIVATE_ADDRESS,
        RefusalReason.ROBOTS,
        RefusalReason.TOO_LARGE,
    )
)


class Refusal(Exception):  # noqa: N818 - becomes a line of refused.jsonl, not an error
    """A picture that is not collected, and why.

    Attributes:
        reason: From the vocabulary.
        detail: What was seen, for people.
        wait_s: How long the server asks to wait before the next request; None: it does not say.
    """

    def __init__(
        self, reason: RefusalReason, detail: str = "", *, wait_s: float | None = None
    ) -> None:
        super().__init__(f"{reason.value} ({detail})" if detail else reason.value)
        self.reason = reason
        self.detail = detail
        self.wait_s = wait_s
