"""The sandbox process: the server and the broker, on loopback."""

from __future__ import annotations

import json
import re
import socket
import sys
from pathlib import Path

import uvicorn
from starlette.convertors import Convertor, register_url_convertor

from gwbatch.config.profile import NOTICE_TOPICS
from gwbatch.errors import GwbatchError
from gwbatch.external import voevent_topics
from gwbatch.sandbox.broker import Broker
from gwbatch.sandbox.routes import make_app
from gwbatch.sandbox.store import Store
from gwbatch.sandbox.vocabulary import initial_topics

HOST = "127.0.0.1"
ALERT_TOPICS = ("igwn.gwalert", "igwn.gwalert-avro")  # for public notices as JSON and as Avro


class _Version(Convertor[str]):
    """``v1`` or ``v2`` in an address."""

    regex = "v[12]"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


def register_versions() -> None:
    """Let addresses name the version of the API."""
    register_url_convertor("version", _Version())


def serve(port: int, state: Path, group: str, *, kafka: bool = True) -> None:
    """Print one JSON line with the addresses, then serve until SIGTERM or SIGINT.

    Parameters
    ----------
    port : int
        0 for any free port.
    state : Path
        Folder of the SQLite file; a sandbox restarted there keeps all its data.
    group : str
        First part of the Kafka topics.
    """
    register_versions()
    try:
        listening = listen(port)  # before printing, so that readers of the addresses can connect at once
    except OSError as error:
        raise GwbatchError(
            f"Cannot start the sandbox on {HOST}:{port}: {error.strerror}. Choose another --port, or 0 for a free one."
        ) from error
    address = f"http://{HOST}:{listening.getsockname()[1]}/api/"
    store = Store(state / "sandbox.sqlite", address)
    broker = Broker(group, initial_topics(), (*voevent_topics(), *NOTICE_TOPICS, *ALERT_TOPICS)) if kafka else None
    if broker is not None:
        broker.publish(store)
    addresses = {
        "gracedb": address,
        "kafka": broker.bootstrap if broker else None,
        "group": group,
        "state": str(state),
    }
    print(json.dumps(addresses), flush=True)
    config = uvicorn.Config(
        make_app(store, broker), log_level="warning", access_log=False, lifespan="off", server_header=False
    )
    try:
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        store.close()
        sys.stdout.flush()


def listen(port: int) -> socket.socket:
    """Return a listening socket on loopback; port 0 picks any free port.

    asyncio disables Nagle's algorithm only for sockets whose protocol is explicitly TCP. With the algorithm on, each
    answer waits 40 ms for a delayed acknowledgement.
    """
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind((HOST, port))
    listening.listen(128)
    return listening


def read_addresses(line: str) -> dict[str, str]:
    """Read the addresses from the line that `serve` prints."""
    if not re.match(r"\s*\{", line):
        raise GwbatchError(f"The sandbox did not start: {line.strip() or 'it printed nothing'}")
    return dict(json.loads(line))
