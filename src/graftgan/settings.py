"""Strict settings: frozen dataclasses from TOML and back, every mistake reported at once."""

import json
import tomllib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import tomli_w
from pydantic import ConfigDict, TypeAdapter, ValidationError

from graftgan.errors import SettingsError
from graftgan.registry import suggest

S = TypeVar("S")

_COLLECTS: ContextVar[bool] = ContextVar("whether problems are collected", default=False)


def strict(cls: type[S]) -> type[S]:
    """Class decorator: refuse unknown keys and silent type changes for this settings dataclass."""
    cls.__pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[attr-defined]
    check: Callable[[S], None] | None = getattr(cls, "__post_init__", None)
    if check is not None:
        cls.__post_init__ = _collected(check)  # type: ignore[attr-defined]
    return cls


def read_toml(path: Path) -> dict[str, Any]:
    """Return the plain data of a TOML file.

    Raises:
        SettingsError: The file is missing, unreadable or not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"there is no settings file {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot read the settings file {path}: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not valid TOML: {error}") from None


def parse(cls: type[S], data: Mapping[str, Any], *, where: str) -> S:
    """Build the settings dataclass ``cls`` from plain ``data``.

    Args:
        cls: A frozen dataclass, possibly of nested ones.
        data: Plain data, as TOML gives it.
        where: What the data came from, for the error message.

    Raises:
        SettingsError: One message that lists every problem with its dotted key.
    """
    try:
        with _collecting_problems():
            return TypeAdapter(cls).validate_json(json.dumps(data, default=str), strict=True)
    except ValidationError as error:
        problems = [_explain(cls, problem) for problem in error.errors()]  # type: ignore[arg-type]
        raise SettingsError(f"{where}: {'; '.join(problems)}") from None


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


@contextmanager
def _collecting_problems() -> Generator[None]:
    token = _COLLECTS.set(True)
    try:
        yield
    finally:
        _COLLECTS.reset(token)


def _collected(check: Callable[[S], None]) -> Callable[[S], None]:
    """Let ``check`` raise what pydantic collects while a file is read: it knows ValueError only."""

    def checked(settings: S) -> None:
        try:
            check(settings)
        except SettingsError as error:
            raise (ValueError(str(error)) if _COLLECTS.get() else error) from None

    return checked


def _dataclass_in(hint: object) -> type | None:
    candidates = (hint, *get_args(hint))
    return next((c for c in candidates if isinstance(c, type) and is_dataclass(c)), None)


def _explain(cls: type, problem: Mapping[str, Any]) -> str:
    location: Sequence[str | int] = problem["loc"]
    key = ".".join(str(part) for part in location)
    if problem["type"] in {"unexpected_keyword_argument", "extra_forbidden"}:
        known = list(dotted_names(cls))
        elsewhere = [name for name in known if name.rpartition(".")[2] == key.rpartition(".")[2]]
        return f"unknown setting '{key}'; {suggest(key, elsewhere or known)}"
    if problem["type"] in {"missing", "missing_argument"}:
        return f"the setting '{key}' is missing"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error":
        return f"{key}: {message}" if key else message
    return f"{key}: {message}, got {problem['input']!r}" if key else message
