"""The console as a process, for tests."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def get(address: str) -> tuple[int, dict[str, str], bytes]:
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read()


@contextmanager
def running_console(state: Path, loopback: str = "open", *more: str) -> Iterator[str]:
    """Run a console, yield its address once it answers, and check that SIGTERM ends it."""
    port = free_port()
    command = [sys.executable, "-m", "gwbatch", "console", "--port", str(port), "--state", str(state)]
    command += ["--set", f"console.loopback={loopback}", *more]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    address, end = f"http://127.0.0.1:{port}", time.monotonic() + 60
    while True:
        try:
            get(address)
            break
        except OSError:
            assert time.monotonic() < end
            assert process.poll() is None
            time.sleep(0.05)
    yield address
    process.terminate()
    assert process.wait(20) in (0, -15)
    assert process.stderr is not None
    process.stderr.close()
