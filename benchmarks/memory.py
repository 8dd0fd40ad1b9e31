"""How much memory a process has held."""

import resource
import sys
from pathlib import Path

MIB = 2**20


def peak_mib() -> float:
    """Return the most memory this process has held, in MiB."""
    status = Path("/proc/self/status")
    if status.is_file():  # Linux adds the parent's peak to getrusage of a child, not to VmHWM
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(fields["VmHWM"].split()[0]) / 1024
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MIB
