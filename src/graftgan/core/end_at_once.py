"""How a signal ends the program while it loads. This file itself loads next to nothing."""

import os
import signal


def end_at_once(number: int, frame: object) -> None:
    """End the process in one line: a handler of signals that raises nothing.

    What is being imported could swallow an exception, and go on for long. Nothing is written yet.
    """
    del frame
    which = "" if number == signal.SIGINT else f" by {signal.Signals(number).name}"
    try:
        os.write(2, f"graftgan: stopped{which}\n".encode())
    finally:  # standard error may be closed
        os._exit(128 + number)
