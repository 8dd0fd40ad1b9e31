"""The log as TensorBoard events, where TensorBoard is installed."""

import io
import os
import platform
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from graftgan.core.files import append_bytes, make_folder


def event_writer(folder: Path, *, after: int) -> Callable[[Mapping[str, float]], None] | None:
    """Return what writes a line of the log as events; None without the extra ``tensorboard``.

    torch's own writer does so in a thread, which prints a traceback when the disk is full.

    Args:
        folder: Where the file of events goes.
        after: Events of later iterations, of an earlier session, are hidden by TensorBoard.
    """
    try:
        protocol = import_module("tensorboard.compat.proto.event_pb2")
        summaries = import_module("tensorboard.compat.proto.summary_pb2")
        records = import_module("tensorboard.summary.writer.record_writer")
    except ImportError:
        return None
    now = time.time()
    path = folder / f"events.out.tfevents.{now:.0f}.{platform.node()}.{os.getpid()}.0"

    def append(*events: Any) -> None:
        buffer = io.BytesIO()
        writer = records.RecordWriter(buffer)
        for event in events:
            writer.write(event.SerializeToString())
        make_folder(folder)
        append_bytes(path, buffer.getvalue())

    begins = [
        protocol.Event(wall_time=now, file_version="brain.Event:2"),
        protocol.Event(
            wall_time=now,
            step=after + 1,
            session_log=protocol.SessionLog(status=protocol.SessionLog.START),
        ),
    ]

    def write(line: Mapping[str, float]) -> None:
        values = [
            summaries.Summary.Value(tag=name, simple_value=value)
            for name, value in line.items()
            if name != "iteration"
        ]
        summary = summaries.Summary(value=values)
        event = protocol.Event(wall_time=time.time(), step=int(line["iteration"]), summary=summary)
        append(*begins, event)
        begins.clear()

    return write
