"""The web server of the console."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from gwbatch.config.policy import load_policy
from gwbatch.config.profile import ConsoleSettings
from gwbatch.console.access import OWN_TOKEN, access_of
from gwbatch.console.app import make_app
from gwbatch.errors import ConfigError


def serve(
    host: str,
    port: int,
    path: Path,
    settings: ConsoleSettings,
    *,
    gracedb: str = "",
    policies: Sequence[Path] = (),
    campaigns: Sequence[Path] = (),
) -> None:
    """Serve the console over the ledger at `path` until SIGTERM or SIGINT.

    Parameters
    ----------
    gracedb : str
        Address of GraceDB, for links.
    policies : sequence of Path
        Policy files for explaining decisions; empty for the dispatcher's own policy.
    campaigns : sequence of Path
        Folders of campaigns, or folders that contain such folders.

    Raises
    ------
    ConfigError
        If others can reach the address but the settings say nothing about who may look.
    """
    if not (_is_loopback(host) or settings.token_file or settings.user_header):
        raise ConfigError(
            f"The console listens on loopback only, not on {host}, unless the site profile sets console.token_file or "
            f"console.user_header. From elsewhere use a tunnel: ssh -L {port}:127.0.0.1:{port} SUBMIT_HOST, "
            f"then open http://127.0.0.1:{port}/."
        )
    access = access_of(settings, path.parent)
    app = make_app(path, access, gracedb, load_policy(*policies) if policies else None, campaigns)
    config = uvicorn.Config(
        app, host=host, port=port, log_level="warning", timeout_graceful_shutdown=2,
        server_header=False, proxy_headers=False, h11_max_incomplete_event_size=32_768,
    )  # fmt: skip
    if settings.socket:
        address = f"Unix socket {settings.socket}; tunnel: ssh -L {port}:{settings.socket} HOST"
        _Server(config, address).run(sockets=[_unix_socket(Path(settings.socket).expanduser())])
        return
    address = f"http://{host}:{port}/"
    if access.token and sys.stderr.isatty():
        address += f"#token={access.token}"
    elif access.token and not settings.token_file:
        address += f"  (token: {path.parent / OWN_TOKEN})"
    _Server(config, address).run()


class _Server(uvicorn.Server):
    """A server that prints its address once clients can reach it and signals can stop it."""

    def __init__(self, config: uvicorn.Config, address: str) -> None:
        super().__init__(config)
        self.address = address

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            print(self.address, file=sys.stderr, flush=True)


def _unix_socket(path: Path) -> socket.socket:
    """Return a listening socket that only this user may open."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        if path.is_socket() and not _answers(path):
            path.unlink()
        listening.bind(str(path))
    except OSError as error:
        raise ConfigError(f"Cannot listen on the Unix socket {path}: {error.strerror}.") from error
    finally:
        os.umask(mask)
    listening.listen(128)
    return listening


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(str(path)) == 0


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
