"""A broker with the real Kafka protocol in its own process: librdkafka's mock cluster, controlled over a pipe."""

from __future__ import annotations

import subprocess
import sys
from types import TracebackType

PROGRAM = """
import ctypes, glob, os, sys
import confluent_kafka
from gwbatch.sandbox.broker import Broker

broker = Broker(sys.argv[1], sys.argv[2:])
# The C interface of the mock cluster, through the library that confluent-kafka brings; the handle stands
# behind the object's header.
site = os.path.dirname(os.path.dirname(confluent_kafka.__file__))
(library,) = glob.glob(site + "/confluent_kafka.libs/librdkafka-*.so*")
lib = ctypes.CDLL(library)
handle = ctypes.c_void_p.from_address(id(broker._producer) + 16)
lib.rd_kafka_handle_mock_cluster.restype = ctypes.c_void_p
cluster = ctypes.c_void_p(lib.rd_kafka_handle_mock_cluster(handle))
print(broker.bootstrap, flush=True)
for line in sys.stdin.buffer:
    words = line.rstrip(b"\\n").split(b" ", 2)
    if words[0] == b"!down":
        lib.rd_kafka_mock_broker_set_down(cluster, 1)
    elif words[0] == b"!up":
        lib.rd_kafka_mock_broker_set_up(cluster, 1)
    elif words[0] == b"!slow":
        lib.rd_kafka_mock_broker_set_rtt(cluster, 1, int(words[1]))
    elif words[0] == b"!errors":  # so many fetches fail with NOT_LEADER_FOR_PARTITION
        errors = (ctypes.c_int * int(words[1]))(*[6] * int(words[1]))
        lib.rd_kafka_mock_push_request_errors_array(cluster, ctypes.c_int16(1), ctypes.c_size_t(len(errors)), errors)
    elif words[0] == b"!partitions":
        topic, count = words[1:]
        lib.rd_kafka_mock_topic_create(cluster, topic, int(count), 1)
    else:
        topic, count, payload = words
        topic, _, partition = topic.decode().partition("/")
        for number in range(int(count)):
            value = payload.replace(b"%d", str(number).encode())
            broker._producer.produce(topic, value, partition=int(partition or 0))
            if number % 1000 == 999:
                broker._producer.flush()
        broker._producer.flush(30)
    print("done", flush=True)
"""


class BrokerProcess:
    """The broker's process."""

    def __init__(self, *topics: str, group: str = "gracedb") -> None:
        self._group = group
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, group, *topics],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.bootstrap = self._answer()

    @property
    def port(self) -> int:
        """The broker's port on loopback."""
        return int(self.bootstrap.rpartition(":")[2])

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().decode().strip()

    def do(self, words: bytes) -> None:
        """Send a command: ``!down``, ``!up``, ``!slow MS``, ``!errors COUNT`` or ``!partitions TOPIC COUNT``."""
        assert self._process.stdin is not None
        self._process.stdin.write(words + b"\n")
        self._process.stdin.flush()
        assert self._answer() == "done"

    def send(self, topic: str, payload: bytes, count: int = 1) -> None:
        """Publish `payload` `count` times, with ``%d`` replaced by the number from 0; ``topic/1`` names partition 1."""
        self.do(b"%s %d %s" % (f"{self._group}.{topic}".encode(), count, payload))

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()

    def __enter__(self) -> BrokerProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
