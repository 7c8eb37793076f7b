"""Serving the console."""

from __future__ import annotations

import ipaddress
import sys
from pathlib import Path

import uvicorn

from gwbatch.console.app import make_app
from gwbatch.errors import ConfigError


def serve(host: str, port: int, path: Path) -> None:
    """Serve the console over the ledger at `path` until SIGTERM or SIGINT.

    Raises
    ------
    ConfigError
        For an address that others can reach: the console asks nobody who they are.
    """
    if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
        raise ConfigError(
            f"The console listens on loopback only, not on {host}. From elsewhere use a tunnel: "
            f"ssh -L {port}:127.0.0.1:{port} SUBMIT_HOST, then open http://127.0.0.1:{port}/."
        )
    print(f"http://{host}:{port}/", file=sys.stderr, flush=True)
    config = uvicorn.Config(
        make_app(path), host=host, port=port, log_level="warning", timeout_graceful_shutdown=2, server_header=False
    )
    uvicorn.Server(config).run()
