"""Strict settings: frozen dataclasses read from TOML or JSON, with all mistakes in one message."""

import json
import math
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import fields, is_dataclass, make_dataclass
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import tomli_w
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from graftgan.core.errors import GraftganError, SettingsError, shown
from graftgan.core.files import content_of, read_json, read_numbered_jsonl, refuse_deep
from graftgan.core.registry import suggest

S = TypeVar("S")

Count = Annotated[int, Field(ge=0, le=2**53)]
"""A count, which a float can hold exactly."""
Seconds = Annotated[float, Field(ge=0, le=2**53)]
WholeNumber = Annotated[int, Field(ge=-(2**53), le=2**53)]
"""An integer that a float can hold exactly."""
Finite = Annotated[float, Field(allow_inf_nan=False)]
FolderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,200}$")]
"""The name of a folder, without path separators or a leading dot."""

_RANGES: Mapping[str, Callable[[float], bool]] = {
    "finite and positive": lambda value: 0 < value < math.inf,
    "finite and not negative": lambda value: 0 <= value < math.inf,
    "at least 1": lambda value: value >= 1,
    "from 1 to 1,000,000": lambda value: 1 <= value <= 1_000_000,
    "at most 1": lambda value: value <= 1,
    "below 1": lambda value: value < 1,
    "in [0, 1)": lambda value: 0 <= value < 1,
    "in [0, 1]": lambda value: 0 <= value <= 1,
    "in (0, 1]": lambda value: 0 < value <= 1,
}
_MOST_STEPS = 2_000_000  # of the TOML parser through dotted keys: about 0.2 s
_QUOTED = re.compile(r""""(?:[^"\\]|\\.)*+"?|'[^']*'?""")  # up to its end or that of the line
_MOST_PROBLEMS, _LONGEST_MESSAGE = 12, 1_500  # problems in one message, and their characters

_COLLECTS: ContextVar[bool] = ContextVar("whether problems are collected", default=False)


def strict(cls: type[S]) -> type[S]:
    """Class decorator of settings: refuse unknown keys and silent type conversions."""
    cls.__pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[attr-defined]
    check: Callable[[S], None] | None = getattr(cls, "__post_init__", None)
    if check is not None:
        cls.__post_init__ = _collected(check)  # type: ignore[attr-defined]
    return cls


def parts_of(owners: Mapping[str, type]) -> tuple[type, ...]:
    """Return the settings of all owners, as base classes of one dataclass.

    Raises SettingsError if two owners have a setting of the same name. As with any dataclass, the
    fields of the last base come first.
    """
    seen: dict[str, str] = {}
    for owner, part in owners.items():
        for field in fields(part):
            first = seen.setdefault(field.name, owner)
            if first != owner:
                raise SettingsError(
                    f"{first} and {owner} both have a setting '{field.name}'; rename one of them"
                )
    return tuple(owners.values())


def all_optional(part: type) -> type:
    """Return the settings class ``part`` with every field optional and without its own check."""
    hints = get_type_hints(part, include_extras=True)
    return make_dataclass(
        part.__name__,
        [(field.name, _or_none(hints[field.name]), None) for field in fields(part)],
        bases=(part,),
        namespace={"__post_init__": lambda self: None},  # pyright: ignore[reportUnknownLambdaType]
        frozen=True,
        kw_only=True,
    )


def _or_none(hint: Any) -> Any:
    if get_origin(hint) is Annotated:  # tyro and pydantic look for annotations outermost
        plain, *annotations = get_args(hint)
        return Annotated[(plain | None, *annotations)]
    return hint | None


def check_parts(settings: object, parts: Sequence[type]) -> None:
    """Run the check of each of the ``parts`` that ``settings`` consist of."""
    for part in reversed(parts):
        if "__post_init__" in vars(part):
            vars(part)["__post_init__"](settings)


def require_counts(**counts: float) -> None:
    """Raise SettingsError for counts or times below 0 or above 2**53, where JSON is inexact."""
    for name, count in counts.items():
        if not 0 <= count <= 2**53:
            raise SettingsError(f"{name} must be from 0 to 2**53, got {shown(count)}")


def require_range(settings: object, wanted: str, *names: str) -> None:
    """Raise SettingsError if a number among these settings is not ``wanted``, a key of _RANGES."""
    for name in names:
        value = getattr(settings, name)
        if isinstance(value, int | float) and not _RANGES[wanted](value):
            raise SettingsError(f"{name} must be {wanted}, got {value}")


def read_toml(path: Path) -> dict[str, Any]:
    """Return the data of a TOML file; raise SettingsError if it cannot be read."""
    try:
        text = content_of(path).decode("utf-8-sig")
        _refuse_slow(text)
        data = tomllib.loads(text)
        refuse_deep(data)
        return data
    except FileNotFoundError:
        raise SettingsError(f"there is no settings file {path}") from None
    except UnicodeDecodeError:
        raise SettingsError(
            f"cannot read the settings file {path}: it is not UTF-8; save it again as UTF-8 text"
        ) from None
    except OSError as error:
        reason = error.strerror or error
        raise SettingsError(f"cannot read the settings file {path}: {reason}") from None
    except (ValueError, RecursionError) as error:  # also numbers of thousands of digits
        reason = "nested too deeply" if isinstance(error, RecursionError) else shown(error, 200)
        raise SettingsError(f"{path} is not valid TOML: {reason}") from None


def _refuse_slow(text: str) -> None:
    """Raise RecursionError for TOML whose dotted keys would take the parser too long.

    The parser walks every key once for each of its parts.
    """
    header = steps = 0
    for line in text.split("\n"):
        dots = _QUOTED.sub("", line).count(".")
        if line.lstrip().startswith("["):
            header = dots
        steps += (header + dots) * (dots + 1)
        if steps > _MOST_STEPS:
            raise RecursionError


def parse(cls: type[S], data: Any, *, where: str, error: type[GraftganError] = SettingsError) -> S:
    """Build the frozen dataclass ``cls``, which may hold others, from plain ``data``.

    If the data do not fit, ``error`` is raised. Its message begins with ``where`` the data came
    from and lists all problems by their dotted keys.
    """
    token = _COLLECTS.set(True)
    try:
        return _adapter(cls).validate_json(json.dumps(data, default=str), strict=True)
    except ValidationError as refusal:
        problems = [_explain(cls, problem) for problem in refusal.errors(include_url=False)]  # type: ignore[arg-type]
        if "surrogate" in problems[0]:  # pydantic says in which column, not in which setting
            problems = [f"{place}: half a character" for place in _half_pairs(data)] or problems
    except GraftganError as refusal:  # of a class without ``strict``
        problems = [str(refusal)]
    except (ValueError, RecursionError) as refusal:  # numbers of thousands of digits, deep nesting
        problems = [shown(refusal, 200)]
    finally:
        _COLLECTS.reset(token)
    lengths = accumulate(len(problem) for problem in problems[:_MOST_PROBLEMS])
    listed = problems[: max(1, sum(length <= _LONGEST_MESSAGE for length in lengths))]
    more = [f"and {len(problems) - len(listed)} more"] if len(problems) > len(listed) else []
    raise error(f"{where}: {'; '.join([*listed, *more])}")


def read_record(cls: type[S], path: Path, *, error: type[GraftganError], remedy: str) -> S:
    """Return the JSON file ``path`` as the dataclass ``cls``, as :func:`parse` builds it.

    If the file is missing or damaged, ``error`` is raised; ``remedy`` says what to do about it.
    """
    data = read_json(path, error=error)
    try:
        return parse(cls, data, where=str(path), error=error)
    except error as problem:
        raise error(f"{problem}; {remedy}") from None


@cache
def _adapter(cls: type[S]) -> TypeAdapter[S]:
    return TypeAdapter(cls)


def read_lines(cls: type[S], file: Path) -> tuple[list[S], list[str]]:
    """Return the objects of a JSON-lines file that fit ``cls``, and the problems of the others."""
    whole: list[S] = []
    lines, problems = read_numbered_jsonl(file)
    for number, line in lines.items():
        try:
            whole.append(parse(cls, line, where=f"line {number} of {file.name}"))
        except SettingsError as problem:
            problems.append(str(problem))
    return whole, problems


def to_plain(settings: object) -> dict[str, Any]:
    """Return ``settings`` as plain data without ``None`` values, ready for TOML or JSON."""
    plain = TypeAdapter(type(settings)).dump_python(settings, mode="json", exclude_none=True)
    return {key: value for key, value in plain.items() if value != {}}


def to_toml(settings: object) -> str:
    """Return ``settings`` as TOML text that :func:`parse` reads back to an equal object."""
    return tomli_w.dumps(to_plain(settings))


def dotted_names(cls: type, prefix: str = "") -> Iterator[str]:
    """Yield the dotted name of every setting in ``cls``, nested ones included."""
    hints = get_type_hints(cls)
    for field in fields(cls):
        nested = _dataclass_in(hints[field.name])
        if nested is None:
            yield prefix + field.name
        else:
            yield from dotted_names(nested, f"{prefix}{field.name}.")


def _collected(check: Callable[[S], None]) -> Callable[[S], None]:
    """Let ``check`` raise ValueError inside :func:`parse`: pydantic collects no other error."""

    def checked(settings: S) -> None:
        try:
            check(settings)
        except SettingsError as error:
            raise (ValueError(str(error)) if _COLLECTS.get() else error) from None

    return checked


def _half_pairs(data: object, place: str = "") -> Iterator[str]:
    """Yield the places in ``data`` of texts with a lone surrogate, which UTF-8 cannot encode."""
    if isinstance(data, str):
        if any("\ud800" <= c <= "\udfff" for c in data):
            yield place
    elif isinstance(data, Mapping | list):
        for key, value in data.items() if isinstance(data, Mapping) else enumerate(data):
            inside = f"{place}.{shown(key)}".lstrip(".")
            yield from _half_pairs(key, inside)
            yield from _half_pairs(value, inside)


def _dataclass_in(hint: object) -> type | None:
    candidates = (hint, *get_args(hint))
    return next((c for c in candidates if isinstance(c, type) and is_dataclass(c)), None)


def _explain(cls: type, problem: Mapping[str, Any]) -> str:
    location: Sequence[str | int] = problem["loc"]
    key = ".".join(shown(part) for part in location)
    if problem["type"] in {"unexpected_keyword_argument", "extra_forbidden"}:
        known = list(dotted_names(cls))
        elsewhere = [name for name in known if name.rpartition(".")[2] == key.rpartition(".")[2]]
        return f"unknown setting '{key}'; {suggest(key, elsewhere or known)}"
    if problem["type"] in {"missing", "missing_argument"}:
        return f"the setting '{key}' is missing"
    message = shown(problem["msg"].removeprefix("Value error, "), 400)
    if problem["type"] == "value_error":
        return f"{key}: {message}" if key else message
    value = problem["input"]
    quoted = repr(value[:100] if isinstance(value, str) else value)
    return f"{key}: {message}, got {shown(quoted)}" if key else message
