"""A proxy between clients and a Kafka broker that loses, tears or delays answers and cuts connections."""

from __future__ import annotations

import re
import socket
import struct
import threading
import time
from collections import Counter
from contextlib import closing, suppress

HOST = b"127.0.0.1"
SLOW = 1.0  # s


class KafkaProxy:
    """A TCP proxy in front of one broker.

    A broker tells its clients its address, and they connect to that. The proxy therefore puts its own port into it.
    """

    def __init__(self) -> None:
        self._listening = socket.create_server((HOST.decode(), 0))
        self._port = self._listening.getsockname()[1]
        self._broker = 0
        self._plans: list[str] = []
        self._open: set[socket.socket] = set()
        self.done: Counter[str] = Counter()  # number of answers by treatment

    def before(self, address: str) -> str:
        """Start the proxy in front of the broker at this address, and return the proxy's own address."""
        self._broker = int(address.rpartition(":")[2])
        threading.Thread(target=self._serve, daemon=True).start()
        return f"{HOST.decode()}:{self._port}"

    def plan(self, fault: str, count: int) -> None:
        """Plan a fault for the next `count` answers.

        ``lost`` and ``torn`` answers end in a cut connection; others are ``doubled`` or ``slow``.
        """
        self._plans += [fault] * count

    def cut(self) -> bool:
        """Cut all connections, and return whether there were any."""
        cut = list(self._open)
        for connection in cut:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        return bool(cut)

    def close(self) -> None:
        """Cut all connections and accept no more."""
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.cut()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                threading.Thread(target=self._handle, args=(connection,), daemon=True).start()

    def _handle(self, client: socket.socket) -> None:
        with suppress(OSError), closing(client), socket.create_connection((HOST, self._broker)) as broker:
            self._open.add(client)
            try:
                threading.Thread(target=self._ask, args=(client, broker), daemon=True).start()
                while answer := _frame(broker):
                    if not self._pass_on(answer, client):
                        break
            finally:
                self._open.discard(client)
                with suppress(OSError):
                    client.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def _ask(client: socket.socket, broker: socket.socket) -> None:
        with suppress(OSError):
            while more := client.recv(65536):
                broker.sendall(more)
        with suppress(OSError):
            broker.shutdown(socket.SHUT_RDWR)

    def _pass_on(self, answer: bytes, client: socket.socket) -> bool:
        """Pass an answer on, and return whether the connection stays open."""
        fault = self._plans.pop(0) if self._plans else ""
        self.done[fault or "passed on"] += 1
        if fault == "lost":
            return False
        if fault == "slow":
            time.sleep(SLOW)
        port = struct.pack(">i", self._broker)
        answer = re.sub(re.escape(HOST + port), lambda _: HOST + struct.pack(">i", self._port), answer)
        frame = (struct.pack(">i", len(answer)) + answer) * (2 if fault == "doubled" else 1)
        client.sendall(frame[: len(frame) // 2] if fault == "torn" else frame)
        return fault != "torn"


def _frame(source: socket.socket) -> bytes:
    """Read one complete answer of the broker, without its length field."""
    head = _exactly(source, 4)
    return _exactly(source, struct.unpack(">i", head)[0]) if head else b""


def _exactly(source: socket.socket, length: int) -> bytes:
    read = b""
    while len(read) < length:
        more = source.recv(length - len(read))
        if not more:
            return b""
        read += more
    return read
