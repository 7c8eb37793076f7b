"""Random faults in all processes of a play: ``python -m tests.acceptance.torture --faults 1000 --seed 1``.

The final state must be that of an undisturbed play, with nothing lost and nothing done twice.
"""

from __future__ import annotations

import argparse
import random
import signal
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psutil

from gwbatch.demo.processes import DemoProcesses
from tests.acceptance.disk_faults import DiskFaults, can_compile
from tests.acceptance.kafka_proxy import KafkaProxy
from tests.acceptance.kill_scenarios import STARTING, compare, play

PLUGINS = 'plugins=["tests.acceptance.fast_jobs", "tests.acceptance.set_clock"]'
PATIENCE = 300.0  # s per play; a failed request to GraceDB is retried after up to a minute
PER_PLAY = 20
UP = 2.0  # s that a dispatcher lives before it may be killed
JOB_KILLS = 2  # per play; with one more failed attempt, a job would rightly fail


class Proxy:
    """An HTTP proxy between the dispatcher and GraceDB that makes some requests fail or take long."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._plans: list[str] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def plan(self, fault: str, count: int) -> None:
        """Plan a fault for the next `count` requests: ``cut``, or the reply is ``lost``, ``doubled`` or ``slow``."""
        self._plans += [fault] * count

    def close(self) -> None:
        self._listening.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                threading.Thread(target=self._handle, args=(connection,), daemon=True).start()

    def _handle(self, connection: socket.socket) -> None:
        with suppress(OSError, ValueError), closing(connection):
            head, rest = _head(connection)
            if not head:
                return
            fault = self._plans.pop(0) if self._plans else ""
            if fault == "cut":
                return
            method, target, version = head.split(b"\r\n", 1)[0].split(b" ")
            host, _, path = target.removeprefix(b"http://").partition(b"/")
            lines = [b" ".join((method, b"/" + path, version)), b"Connection: close"]
            lines += [one for one in head.split(b"\r\n")[1:] if not one.lower().startswith(b"connection:")]
            name, _, port = host.decode().partition(":")
            with socket.create_connection((name, int(port or 80))) as server:
                server.sendall(b"\r\n".join(lines) + b"\r\n\r\n" + rest)
                threading.Thread(target=_pump, args=(connection, server), daemon=True).start()
                answer = b"".join(iter(lambda: server.recv(65536), b""))
            if fault == "slow":
                time.sleep(1.0)
            if fault != "lost":
                connection.sendall(answer * (2 if fault == "doubled" else 1))
            connection.shutdown(socket.SHUT_RDWR)  # close() alone would wait for the thread that still reads


def _head(connection: socket.socket) -> tuple[bytes, bytes]:
    read = b""
    while b"\r\n\r\n" not in read:
        more = connection.recv(65536)
        if not more:
            return b"", b""
        read += more
    head, _, rest = read.partition(b"\r\n\r\n")
    return head, rest


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while more := source.recv(65536):
            target.sendall(more)


class Torture:
    """A number of faults, chosen at random from a seed."""

    def __init__(self, seed: int, faults: int, folder: Path) -> None:
        self._chance, self._left, self.done = random.Random(seed), faults, Counter[str]()
        self.clock, self.proxy, self.kafka = folder / "clock", Proxy(), KafkaProxy()
        self._offset, self._disk = 0, DiskFaults(folder / "disk") if can_compile() else None
        self._up: dict[int, float] = {}

    @property
    def environment(self) -> dict[str, str]:
        """Variables that the dispatcher's environment needs."""
        disk = self._disk.environment if self._disk else {}
        return {"GWBATCH_TEST_CLOCK": str(self.clock), "http_proxy": self.proxy.address, "no_proxy": "", **disk}

    def __call__(self, stage: DemoProcesses) -> None:
        """Inflict the faults on the processes of a play."""
        faults: dict[str, Callable[[DemoProcesses], bool]] = {
            "dispatcher killed": self._kill_dispatcher,
            "dispatcher stopped for a while": lambda stage: self._stop(stage.dispatcher.pid),
            "listener killed": lambda stage: _signal(self._child(stage, "listen"), signal.SIGKILL),
            "listener stopped for a while": lambda stage: self._stop(self._child(stage, "listen")),
            "job killed": self._kill_job,
            "GraceDB and broker stopped for a while": lambda stage: self._stop(stage.sandbox.pid),
            "requests cut": lambda _: self._plan("cut"),
            "replies lost": lambda _: self._plan("lost"),
            "replies doubled": lambda _: self._plan("doubled"),
            "replies slow": lambda _: self._plan("slow"),
            "broker's connections cut": lambda _: self.kafka.cut(),
            "broker's answers lost": lambda _: self._plan_broker("lost"),
            "broker's answers doubled": lambda _: self._plan_broker("doubled"),
            "broker's answers torn": lambda _: self._plan_broker("torn"),
            "broker's answers slow": lambda _: self._plan_broker("slow"),
            "clock set": lambda _: self._set_clock(),
        }
        if disk := self._disk:
            faults |= {
                "dispatcher's disk full": lambda stage: disk.full(stage.dispatcher.pid, self._moment()),
                "dispatcher's disk slow": lambda stage: disk.slow(stage.dispatcher.pid, self._moment()),
                "listener's disk full": lambda stage: self._at_listener(stage, disk.full),
                "listener's disk slow": lambda stage: self._at_listener(stage, disk.slow),
            }
        while self._left:
            time.sleep(self._chance.uniform(0.05, 0.5))
            name = self._chance.choice(list(faults))
            with STARTING:
                self._up.setdefault(stage.dispatcher.pid, time.monotonic())
                if stage.dispatcher.poll() is None and faults[name](stage):
                    self.done[name] += 1
                    self._left -= 1

    def _plan(self, fault: str) -> bool:
        self.proxy.plan(fault, self._chance.randint(1, 4))
        return True

    def _plan_broker(self, fault: str) -> bool:
        self.kafka.plan(fault, self._chance.randint(1, 4))
        return True

    def _set_clock(self) -> bool:
        self._offset += self._chance.choice([-7200, -3600, -5, 5, 3600, 7200])
        self.clock.write_text(str(self._offset))
        return True

    def _kill_dispatcher(self, stage: DemoProcesses) -> bool:
        """Kill the dispatcher and reset the clock, because the play compares the next one's times with the true time.

        Spare one that has just started: a message during which three dispatchers die is rightly a dead letter.
        """
        if time.monotonic() - self._up.setdefault(stage.dispatcher.pid, time.monotonic()) < UP:
            return False
        killed = _signal(stage.dispatcher.pid, signal.SIGKILL)
        self._offset = 0
        self.clock.write_text("0")
        return killed

    def _kill_job(self, stage: DemoProcesses) -> bool:
        if self.done["job killed"] >= JOB_KILLS:
            return False
        return _signal(self._child(stage, "gwbatch.jobs.runner"), signal.SIGKILL)

    def _stop(self, pid: int) -> bool:
        if not _signal(pid, signal.SIGSTOP):
            return False
        time.sleep(self._moment())
        return _signal(pid, signal.SIGCONT)

    def _at_listener(self, stage: DemoProcesses, fault: Callable[[int, float], bool]) -> bool:
        listener = self._child(stage, "listen")
        return listener != 0 and fault(listener, self._moment())

    def _moment(self) -> float:
        return self._chance.uniform(0.2, 1.5)

    def _child(self, stage: DemoProcesses, word: str) -> int:
        found = []
        with suppress(psutil.Error):
            for child in psutil.Process(stage.dispatcher.pid).children(recursive=True):
                with suppress(psutil.Error):
                    if word in child.cmdline():
                        found.append(child.pid)
        return self._chance.choice(found) if found else 0


def _signal(pid: int, number: int) -> bool:
    if not pid:
        return False
    try:
        psutil.Process(pid).send_signal(number)
    except psutil.Error:
        return False
    return True


def torture(folder: Path, seed: int, faults: int) -> tuple[dict[str, Any], Counter[str]]:
    """Run a play with this many faults, and return its final state and the number of faults by kind."""
    faulty = Torture(seed, faults, folder)
    try:
        state = play(
            folder / "run", faulty.environment, settings=[PLUGINS], during=faulty, patience=PATIENCE,
            stand_before=faulty.kafka.before,
        )  # fmt: skip
    finally:
        faulty.proxy.close()
        faulty.kafka.close()
    assert faulty.kafka.done["passed on"] > 100, "nobody spoke to the broker through the proxy"
    assert faulty.done.total() == faults, f"only {faulty.done.total()} of {faults} faults were made"
    return state, faulty.done


def main() -> int:
    """Run plays until the requested number of faults was inflicted, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    chosen = parser.parse_args()
    if not can_compile():
        print("The disk is neither full nor slow in this run: there is no C compiler.")
    total: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as scratch:
        expected = play(Path(scratch) / "undisturbed", {})
        number = 0
        while total.total() < chosen.faults:
            seed = chosen.seed + number
            folder = Path(scratch) / f"{number}"
            folder.mkdir()
            began = time.monotonic()
            state, done = torture(folder, seed, min(PER_PLAY, chosen.faults - total.total()))
            compare(state, expected)
            total += done
            number += 1
            print(f"seed {seed}: {done.total()} faults in {time.monotonic() - began:.0f} s, as undisturbed", flush=True)
    print("\n| fault | times |\n|---|---|")
    for name, count in sorted(total.items()):
        print(f"| {name} | {count} |")
    print(f"| all, in {number} plays | {total.total()} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
