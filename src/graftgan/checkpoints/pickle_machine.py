"""Go through the instructions of a pickle (PEP 3154) without running anything in it.

No unpickler is used. A machine of its own knows the instructions that files of weights are made of
and no others. It makes plain containers, numbers, texts and bytes; a name gives what its table has
for it, and never the function or class itself.

A small file could still fill the memory or take hours: so one budget counts the instructions and
the bytes of a whole file, keys are short texts and numbers, and nothing here recurses.
"""

import pickletools
import warnings
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, cast

from graftgan.checkpoints.limits import (
    BoundedFile,
    ReadingBudget,
    RefusedError,
    UnreadableError,
    checked_key,
)
from graftgan.checkpoints.stand_ins import Array, Function, Ignored, StandInNames
from graftgan.core.untrusted import shown

_REMEMBERED = 4096  # bytes: nothing longer is asked for twice, and storages would stay in memory
_LONGEST_NAME = 200
_LONGEST_NUMBER = 32  # bytes
_FORGOTTEN = object()


class Machine:
    """Makes of the instructions of one pickle what it holds, as far as networks need them.

    Args:
        names: What stands for each name that is known.
        budget: That of the whole file.
        persistent: Gives what a pickle refers to outside of itself; None: nothing.
    """

    def __init__(
        self,
        names: StandInNames,
        budget: ReadingBudget,
        persistent: Callable[[Any], Any] | None = None,
    ) -> None:
        self._names, self._budget, self._persistent = names, budget, persistent
        self._stack: list[Any] = []
        self._marks: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def run(self, file: BoundedFile) -> Any:
        """Return what the pickle holds.

        Raises:
            RefusedError: It has an instruction that no network needs, names what none needs, or
                costs too much.
            UnreadableError: It is damaged.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python's, of texts in the file
            for name, argument in _instructions(file):
                self._budget.step()
                if name == "STOP":
                    return self._result()
                if name not in _STEPS:
                    raise RefusedError(f"has the instruction {name}, which no network needs")
                _STEPS[name](self, argument)
        raise UnreadableError("it ends too early")

    def _result(self) -> Any:
        if len(self._stack) != 1 or self._marks:
            raise UnreadableError("it holds not one thing")
        return self._stack[0]

    def push(self, thing: Any) -> None:
        """Put ``thing`` on the stack."""
        self._stack.append(thing)

    def literal(self, thing: Any) -> None:
        """Put a number, a text or bytes on the stack."""
        if type(thing) is int and thing.bit_length() > 8 * _LONGEST_NUMBER:
            raise RefusedError("has a number of more digits than any network needs")
        self._stack.append(thing)

    def mark(self, _: Any) -> None:
        """Begin a new stack on the one that is there."""
        self._marks.append(self._stack)
        self._stack = []

    def since_mark(self) -> list[Any]:
        """Take everything that was put on the stack since the last mark."""
        if not self._marks:
            raise UnreadableError("an instruction misses its mark")
        things, self._stack = self._stack, self._marks.pop()
        return things

    def last(self, count: int) -> list[Any]:
        """Take the last ``count`` things."""
        if len(self._stack) < count:
            raise UnreadableError("an instruction finds too little before it")
        things = self._stack[-count:]
        del self._stack[-count:]
        return things

    def top(self) -> Any:
        """Return the last thing, and leave it."""
        if not self._stack:
            raise UnreadableError("an instruction finds too little before it")
        return self._stack[-1]

    def set_items(self, things: list[Any]) -> None:
        """Put keys and values into the dictionary on the stack."""
        target = self.top()
        if not isinstance(target, dict) or len(things) % 2:
            raise UnreadableError("items for what is no dictionary")
        keys = [checked_key(key) for key in things[::2]]
        cast("dict[Any, Any]", target).update(zip(keys, things[1::2], strict=True))

    def append(self, things: list[Any]) -> None:
        """Put things into the list on the stack."""
        target = self.top()
        if type(target) is not list:
            raise UnreadableError("things for what is no list")
        cast("list[Any]", target).extend(things)

    def add(self, things: list[Any]) -> None:
        """Put things into the set on the stack."""
        target = self.top()
        if type(target) is not set:
            raise UnreadableError("things for what is no set")
        cast("set[Any]", target).update(checked_key(thing) for thing in things)

    def remember(self, place: int | None) -> None:
        """Keep the last thing for later."""
        thing = self.top()
        few = isinstance(thing, tuple) and len(cast("tuple[Any, ...]", thing)) < 4
        parts = cast("tuple[Any, ...]", thing) if few else (thing,)
        large = any(isinstance(part, bytes) and len(part) > _REMEMBERED for part in parts)
        self._memo[len(self._memo) if place is None else place] = _FORGOTTEN if large else thing

    def recall(self, place: int) -> None:
        """Put on the stack what was kept."""
        if place not in self._memo:
            raise UnreadableError("an instruction asks for what was never there")
        thing = self._memo[place]
        if thing is _FORGOTTEN:
            raise RefusedError("uses the bytes of a storage twice, which no network does")
        self._stack.append(thing)

    def name(self, parts: list[Any]) -> None:
        """Put on the stack what stands for a name."""
        if not all(isinstance(part, str) and len(part) <= _LONGEST_NAME for part in parts):
            raise RefusedError("asks for something by what is no name, which no network needs")
        name = ".".join(parts)
        if name not in self._names:
            known = name.removeprefix("__builtin__.").removeprefix("builtins.")
            raise RefusedError(f"asks for {shown(known)}, which no network needs")
        self._stack.append(self._names[name])

    def call(self, _: Any) -> None:
        """Put on the stack what a call gives."""
        made_by, arguments = self.last(2)
        if not isinstance(made_by, Function) or not isinstance(arguments, tuple):
            raise RefusedError(f"calls what is no name: {type(made_by).__name__}")
        self._stack.append(made_by(*cast("tuple[Any, ...]", arguments)))

    def build(self, _: Any) -> None:
        """Give the state of a thing to it, if it takes one."""
        target, state = self.last(2)
        self._stack.append(target)
        if isinstance(target, Namespace) and isinstance(state, dict):
            named = cast("dict[Any, Any]", state)
            self._budget.step(len(named))
            vars(target).update({k: v for k, v in named.items() if isinstance(k, str)})
        elif isinstance(target, Array):
            target.take(state)
        elif not isinstance(target, Ignored | OrderedDict):  # the latter with what torch adds to it
            raise RefusedError(f"sets the state of a {type(target).__name__}")

    def refer(self, _: Any) -> None:
        """Put on the stack what lies outside the pickle."""
        (identity,) = self.last(1)
        if self._persistent is None:
            raise RefusedError("refers to another file, which no network does")
        self._stack.append(self._persistent(identity))


_STEPS: dict[str, Callable[[Machine, Any], None]] = {
    **dict.fromkeys(("PROTO", "FRAME"), lambda _, argument: None),
    **dict.fromkeys(
        (
            *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"),
            *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
            *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
        ),
        Machine.literal,
    ),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_SET": lambda machine, _: machine.push(set()),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "MARK": Machine.mark,
    "TUPLE": lambda machine, _: machine.push(tuple(machine.since_mark())),
    "TUPLE1": lambda machine, _: machine.push(tuple(machine.last(1))),
    "TUPLE2": lambda machine, _: machine.push(tuple(machine.last(2))),
    "TUPLE3": lambda machine, _: machine.push(tuple(machine.last(3))),
    "SETITEM": lambda machine, _: machine.set_items(machine.last(2)),
    "SETITEMS": lambda machine, _: machine.set_items(machine.since_mark()),
    "APPEND": lambda machine, _: machine.append(machine.last(1)),
    "APPENDS": lambda machine, _: machine.append(machine.since_mark()),
    "ADDITEMS": lambda machine, _: machine.add(machine.since_mark()),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT", "PUT"), Machine.remember),
    "MEMOIZE": lambda machine, _: machine.remember(None),
    **dict.fromkeys(("BINGET", "LONG_BINGET", "GET"), Machine.recall),
    "GLOBAL": lambda machine, name: machine.name(name.split(" ", 1)),
    "STACK_GLOBAL": lambda machine, _: machine.name(machine.last(2)),
    **dict.fromkeys(("REDUCE", "NEWOBJ"), Machine.call),
    "BUILD": Machine.build,
    "BINPERSID": Machine.refer,
}


def _instructions(file: BoundedFile) -> Iterator[tuple[str, Any]]:
    """Yield the instructions by their names, with their arguments."""
    instructions = pickletools.genops(file)  # type: ignore[arg-type]
    while True:
        try:
            opcode, argument, _ = next(instructions)
        except StopIteration:
            return
        except ValueError as error:  # of pickletools: an unknown instruction, a text that is none
            raise UnreadableError(shown(error)) from None
        yield opcode.name, argument
