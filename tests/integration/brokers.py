"""A real Kafka protocol in another process: librdkafka's mock cluster, told what to publish over a pipe."""

from __future__ import annotations

import subprocess
import sys
from types import TracebackType

PROGRAM = """
import sys
from gwbatch.sandbox.broker import Broker
broker = Broker("gracedb", sys.argv[1:])
print(broker.bootstrap, flush=True)
for line in sys.stdin.buffer:
    topic, count, payload = line.rstrip(b"\\n").split(b" ", 2)
    for number in range(int(count)):
        broker._producer.produce(topic.decode(), payload.replace(b"%d", str(number).encode()), partition=0)
        if number % 1000 == 999:
            broker._producer.flush()
    broker._producer.flush(30)
    print("sent", flush=True)
"""


class BrokerProcess:
    """The broker's process."""

    def __init__(self, *topics: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *topics],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.bootstrap = self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().decode().strip()

    def send(self, topic: str, payload: bytes, count: int = 1) -> None:
        """Publish `payload` so many times, ``%d`` replaced by the number."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"%s %d %s\n" % (f"gracedb.{topic}".encode(), count, payload))
        self._process.stdin.flush()
        assert self._answer() == "sent"

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()

    def __enter__(self) -> BrokerProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
