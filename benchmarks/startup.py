"""Start-up time of commands, compared with a Python that does nothing."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from gwbatch.ledger import Ledger

REPEATS = 11


def median(*arguments: str) -> float:
    """Return the median wall time in s."""
    times = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        subprocess.run([sys.executable, *arguments], capture_output=True, check=False)
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def main() -> None:
    """Print a table."""
    with tempfile.TemporaryDirectory() as folder:
        Ledger(Path(folder) / "ledger.sqlite", create=True).close()
        floor = median("-c", "pass")
        print(f"{'command':32} {'median s':>9} {'above bare Python':>18}")
        for arguments in (
            ["--help"],
            ["status", "--state", folder],
            ["status", "--json", "--state", folder],
            ["job", "--help"],
        ):
            taken = median("-m", "gwbatch", *arguments)
            print(f"{'gwbatch ' + ' '.join(arguments[:2]):32} {taken:9.3f} {taken - floor:18.3f}")


if __name__ == "__main__":
    main()
