"""Full and slow disks for single processes, through a small C library that they preload.

strace can inject the same errors into a running process. But if it detaches while the process is starting a child, the
child can stay stopped for good, and the thread that waits for the child hangs.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")


def can_compile() -> bool:
    """Return whether there is a C compiler."""
    return shutil.which("cc") is not None


class DiskFaults:
    """Makes the disk full or slow for processes that were started with its `environment`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        library = folder / "disk_faults.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", library, SOURCE, "-ldl"], check=True)
        self.environment = {"LD_PRELOAD": str(library), "GWBATCH_TEST_DISK": str(folder)}

    def full(self, pid: int, seconds: float) -> bool:
        """Make the disk look full to the process for some seconds; return whether it tried to write."""
        return self._inflict("full", pid, seconds)

    def slow(self, pid: int, seconds: float) -> bool:
        """Delay each sync of the process for some seconds; return whether there was one."""
        return self._inflict("slow", pid, seconds)

    def _inflict(self, kind: str, pid: int, seconds: float) -> bool:
        marker, hit = self._folder / f"{kind}-{pid}", self._folder / f"hit-{pid}"
        hit.unlink(missing_ok=True)
        marker.touch()
        time.sleep(seconds)
        marker.unlink()
        return hit.exists()
