"""Access to the submit node's files from inside a running job by HTCondor's chirp, through starter and shadow."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from gwbatch.errors import ConfigError
from gwbatch.jobs.result import NAME
from gwbatch.jobs.standby.channel import ChannelDown
from gwbatch.jobs.standby.layout import INBOX, ORDERS, PILOTS, TAKEN, Beat, Orders, Task, decoded, is_task

LOOK_EVERY = 0.05  # s between two polls of the inbox
# Time limits in s for one call and for one file.  The client itself never returns from a closed connection.
ANSWER, TRANSFER = 5.0, 60.0
MODE = 0o600

T = TypeVar("T")


class ChirpChannel:
    """The standby folder on the submit node.

    Raises
    ------
    ChannelDown
        From every method but `close`, when the starter, the shadow or the schedd does not answer.
    """

    socket = ""

    def __init__(self, folder: str) -> None:
        if not os.environ.get("_CONDOR_CHIRP_CONFIG"):
            raise ConfigError("Cannot reach the submit node: the pool does not offer chirp to jobs (ENABLE_CHIRP).")
        self._folder = folder
        self._client: Any = None
        self._scratch = Path(os.environ.get("_CONDOR_SCRATCH_DIR", ".")).resolve()
        self._work = self._scratch / "tasks"
        self._work.mkdir(exist_ok=True)

    def offers(self, seconds: float) -> Iterator[str]:
        end = time.monotonic() + seconds
        while True:
            names = [name for name in self._call(lambda chirp: chirp.getdir(self._at(INBOX))) if is_task(name)]
            yield from names
            if names or time.monotonic() + LOOK_EVERY > end:
                return
            time.sleep(LOOK_EVERY)

    def claim(self, name: str, pilot: str) -> Task | None:
        from htcondor2.htchirp import HTChirp

        mine = self._claim(name, pilot)
        try:
            self._call(lambda chirp: chirp.rename(self._at(INBOX, name), mine))
        except HTChirp.DoesntExist:
            return None
        except ChannelDown:
            if not self.holds(name, pilot):  # either the request or its answer was lost
                return None
        try:
            return decoded(self._read(mine), Task)
        except FileNotFoundError:
            return None  # revoked already

    def holds(self, name: str, pilot: str) -> bool:
        from htcondor2.htchirp import HTChirp

        try:
            self._call(lambda chirp: chirp.stat(self._claim(name, pilot)))
        except HTChirp.DoesntExist:
            return False
        return True

    def fetch(self, name: str, task: Task) -> Path:
        folder = self._work / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for file in task.inputs:
            self._fetch(f"{task.directory}/{file}", folder / file)
        return folder

    def deliver(self, name: str, task: Task, pilot: str) -> None:
        folder = self._work / name
        # The result comes last, because it holds the checksums of the others.
        files = ("stdout", "stderr", "started.json", *(one for one in task.outputs if one != NAME), NAME)
        with contextlib.suppress(FileNotFoundError):  # the job directory is gone, so nobody needs the result
            for file in files if self.holds(name, pilot) else ():
                if (folder / file).is_file():
                    self._bring(folder / file, f"{task.directory}/{file}")
        if self.holds(name, pilot):
            self._write(self._claim(name, pilot), msgspec.json.encode(task))
        shutil.rmtree(folder, ignore_errors=True)

    def beat(self, beat: Beat) -> None:
        self._write(self._at(PILOTS, f"{beat.pilot}.json"), msgspec.json.encode(beat))

    def orders(self) -> Orders | None:
        try:
            return decoded(self._read(self._at(ORDERS)), Orders)
        except FileNotFoundError:
            return None

    def close(self, pilot: str) -> None:
        from htcondor2.htchirp import HTChirp

        with contextlib.suppress(HTChirp.ChirpError, ChannelDown):
            self._call(lambda chirp: chirp.unlink(self._at(PILOTS, f"{pilot}.json")))

    def _at(self, *parts: str) -> str:
        return "/".join((self._folder, *parts))

    def _claim(self, name: str, pilot: str) -> str:
        return self._at(TAKEN, f"{name}.{pilot}")

    def _read(self, path: str) -> bytes:
        local = self._scratch / ".read"
        self._fetch(path, local)
        return local.read_bytes()

    def _fetch(self, path: str, local: Path) -> None:
        self._transfer(lambda chirp: chirp.fetch(path, str(local)), path)

    def _write(self, path: str, data: bytes) -> None:
        local = self._scratch / ".write"
        local.write_bytes(data)
        self._bring(local, path)

    def _bring(self, local: Path, path: str) -> None:
        """Write a file atomically, by transferring it under a temporary name and renaming it."""

        def bring(chirp: Any) -> None:
            empty = not local.stat().st_size
            if empty:  # the server does not answer when the transferred file is empty
                local.write_bytes(b"\n")
            chirp.put(str(local), f"{path}.part", mode=MODE)
            if empty:
                chirp.truncate(f"{path}.part", 0)
            chirp.rename(f"{path}.part", path)

        self._transfer(bring, path)

    def _transfer(self, ask: Callable[[Any], Any], path: str) -> None:
        from htcondor2.htchirp import HTChirp

        try:
            self._call(ask, TRANSFER)
        except HTChirp.DoesntExist as error:
            raise FileNotFoundError(f"{path} does not exist") from error

    def _call(self, ask: Callable[[Any], T], seconds: float = ANSWER) -> T:
        """Make one call; any failure but ``DoesntExist`` drops the connection, and the next call opens a new one."""
        from htcondor2.htchirp import HTChirp

        before = signal.signal(signal.SIGALRM, _too_late)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            if self._client is None:
                client = HTChirp()
                client.connect()
                self._client = client
            return ask(self._client)
        except HTChirp.DoesntExist:
            raise
        except (HTChirp.ChirpError, OSError, RuntimeError, ValueError, RuntimeWarning) as error:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            client, self._client = self._client, None
            if client is not None:
                client.disconnect()
            raise ChannelDown(f"Cannot reach the submit node with chirp: {error or type(error).__name__}.") from error
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            signal.signal(signal.SIGALRM, before)


def _too_late(*_: object) -> None:
    raise TimeoutError("no answer in time")
