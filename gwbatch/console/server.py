"""Serving the console."""

from __future__ import annotations

import ipaddress
import sys
from pathlib import Path

import uvicorn

from gwbatch.config.profile import ConsoleSettings
from gwbatch.console.access import access_of
from gwbatch.console.app import make_app
from gwbatch.errors import ConfigError


def serve(host: str, port: int, path: Path, settings: ConsoleSettings, gracedb: str = "") -> None:
    """Serve the console over the ledger at `path` until SIGTERM or SIGINT.

    Raises
    ------
    ConfigError
        For an address that others can reach, while nothing says who they may be.
    """
    access = access_of(settings)
    if not (_is_loopback(host) or access.open_to_others):
        raise ConfigError(
            f"The console listens on loopback only, not on {host}, unless the site profile sets console.token_file or "
            f"console.user_header. From elsewhere use a tunnel: ssh -L {port}:127.0.0.1:{port} SUBMIT_HOST, "
            f"then open http://127.0.0.1:{port}/."
        )
    print(f"http://{host}:{port}/", file=sys.stderr, flush=True)
    config = uvicorn.Config(
        make_app(path, access, gracedb), host=host, port=port, log_level="warning", timeout_graceful_shutdown=2,
        server_header=False, proxy_headers=False, h11_max_incomplete_event_size=32_768,
    )  # fmt: skip
    uvicorn.Server(config).run()


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
