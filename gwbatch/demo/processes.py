"""The processes of the demo: sandbox, dispatcher and, if wanted, astronomer."""

from __future__ import annotations

import sqlite3
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO

from gwbatch import children
from gwbatch.errors import GwbatchError
from gwbatch.sandbox.server import read_addresses
from gwbatch.sandbox.store import alerts_published

PATIENCE = 60.0  # s for the dispatcher to become ready
KAFKA = "@KAFKA@"  # in a setting: the address of the sandbox's broker


class DemoProcesses:
    """The processes of one demonstration, all of whose state lies under one folder.

    Parameters
    ----------
    site : str
        Site profile of the dispatcher: where its jobs run.
    policies : sequence of Path
        Policy files of the dispatcher.
    settings : sequence of str
        Further ``NAME=VALUE`` settings of its profile, with ``@KAFKA@`` for the address of the sandbox's broker.
    environment : mapping
        Variables to add to our environment for the dispatcher.
    """

    def __init__(
        self,
        folder: Path,
        *,
        site: str = "local",
        policies: Sequence[Path] = (),
        settings: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.environment = dict(environment or {})
        self.state = folder / "state"
        self._site = site
        self._policies = policies
        self._settings = settings
        self._processes: list[subprocess.Popen[bytes]] = []
        self._logs: list[IO[bytes]] = []
        self.addresses: dict[str, str] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> DemoProcesses:
        try:
            self.start_sandbox()
            self.start_dispatcher()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start_sandbox(self) -> None:
        """Start the sandbox and read its addresses."""
        process = self.sandbox = self._start(
            "sandbox",
            ["sandbox", "--port", "0", "--state", str(self.folder / "sandbox")],
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        self.addresses = read_addresses(process.stdout.readline().decode())

    def start_astronomer(self, topics: Iterable[str]) -> Path:
        """Start a process that follows public topics; return the folder where it keeps what it receives."""
        folder = self.folder / "received"
        folder.mkdir()
        arguments = [self.addresses["kafka"], str(folder), *topics]
        self._start("astronomer", arguments, module="gwbatch.demo.astronomer")
        return folder

    def start_dispatcher(self) -> None:
        """Start ``gwbatch run`` with its listeners on the sandbox's broker, and wait until both are ready."""
        settings = [
            f"gracedb.url={self.addresses['gracedb']}",
            "gracedb.auth=none",
            "listeners.igwn-alert.enabled=true",
            "listeners.igwn-alert.auth=none",
            f"listeners.igwn-alert.bootstrap={self.addresses['kafka']}",
            f"listeners.igwn-alert.group={self.addresses['group']}",
            "listeners.igwn-alert.start=earliest",
            # The mock broker answers a waiting fetch only when it times out.
            "listeners.igwn-alert.kafka.'fetch.wait.max.ms'=10",
            "listeners.gcn.enabled=true",
            "listeners.gcn.auth=none",
            f"listeners.gcn.bootstrap={self.addresses['kafka']}",
            "listeners.gcn.start=earliest",
            "listeners.gcn.kafka.'fetch.wait.max.ms'=10",
            *(setting.replace(KAFKA, self.addresses["kafka"]) for setting in self._settings),
        ]
        arguments = ["run", "--site", self._site, "--state", str(self.state)]
        arguments += [argument for setting in settings for argument in ("--set", setting)]
        arguments += [argument for policy in self._policies for argument in ("--policy", str(policy))]
        self.dispatcher = self._start("dispatcher", arguments, environment=self.environment)
        self._wait_until_listening(self.dispatcher)

    def stop(self) -> None:
        """Stop all processes, the last one started first."""
        for process in reversed(self._processes):
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
            if process.stdout is not None:
                process.stdout.close()
        for log in self._logs:
            log.close()
        self._processes.clear()
        self._logs.clear()

    def alerts_published(self, topics: Iterable[str]) -> int:
        """Count the alerts that the sandbox has put on these topics."""
        return alerts_published(self.folder / "sandbox" / "sandbox.sqlite", topics)

    def check_alive(self) -> None:
        """Raise an error if a process has ended on its own."""
        for process in self._processes:
            if process.poll() is not None:
                raise GwbatchError(
                    f"A process of the demo ended with code {process.returncode}; see the logs in {self.folder}."
                )

    def _start(
        self,
        name: str,
        arguments: Sequence[str],
        stdout: int | None = None,
        environment: Mapping[str, str] | None = None,
        module: str = "gwbatch",
    ) -> subprocess.Popen[bytes]:
        log = (self.folder / f"{name}.log").open("ab")
        self._logs.append(log)
        command = children.python(module, *arguments)
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log if stdout is None else stdout,
            stderr=log,
            env=children.environment(environment),
        )
        self._processes.append(process)
        return process

    def _wait_until_listening(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until the listeners read every topic; only then do alerts arrive in the order of their uploads."""
        from gwbatch.config.policy import load_policy
        from gwbatch.external import voevent_topics
        from gwbatch.orchestrator import SUPEREVENT_TOPICS

        policy = load_policy(*self._policies)
        wanted = {f"{self.addresses['group']}.{topic}" for topic in (*policy.topics, *SUPEREVENT_TOPICS)}
        wanted.update(voevent_topics())
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if process.poll() is not None:
                log = self.folder / "dispatcher.log"
                raise GwbatchError(f"The dispatcher ended with code {process.returncode}; see {log}.")
            if wanted <= self._topics_listened_to():
                return
            time.sleep(0.05)
        raise GwbatchError(f"The dispatcher was not ready after {PATIENCE:g} s; see {self.folder / 'dispatcher.log'}.")

    def _topics_listened_to(self) -> set[str]:
        from gwbatch.ledger import Ledger
        from gwbatch.reports.status import report

        path = self.state / "ledger.sqlite"
        if not path.exists():
            return set()
        try:
            ledger = Ledger(path)
            found = report(ledger, time.time())
            ledger.close()
        except sqlite3.OperationalError:  # the schema is being written
            return set()
        if not found["dispatcher"]["running"]:
            return set()
        return {
            part["topic"] for listener in found["listeners"] if listener["connected"] for part in listener["partitions"]
        }
