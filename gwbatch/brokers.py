"""Connection properties of Kafka brokers, with credentials from a file or the environment that are never logged."""

from __future__ import annotations

import os
import stat
import tomllib
from pathlib import Path
from typing import Any, Literal, Protocol

import certifi

from gwbatch.errors import ConfigError

GCN_ID, GCN_SECRET = "GCN_CLIENT_ID", "GCN_CLIENT_SECRET"


class Connection(Protocol):
    """The settings that listeners and notice brokers have in common."""

    @property
    def bootstrap(self) -> str: ...
    @property
    def auth(self) -> str: ...
    @property
    def credentials(self) -> str: ...
    @property
    def domain(self) -> str: ...


def connection_properties(settings: Connection, mode: Literal["consumer", "producer"] = "consumer") -> dict[str, Any]:
    """Return the librdkafka properties for connecting and authenticating to the broker.

    Raises
    ------
    ConfigError
        When required credentials are missing or invalid, or others may read them.
    """
    if settings.auth == "scram":
        return {"bootstrap.servers": settings.bootstrap, **_scram(settings)}
    if settings.auth == "oidc":
        return _oidc(settings, mode)
    return {"bootstrap.servers": settings.bootstrap, "security.protocol": "PLAINTEXT"}


def _scram(settings: Connection) -> dict[str, str]:
    """Read the entry for this broker in hop's ``auth.toml`` (SCiMMA)."""
    config_home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    path = Path(settings.credentials) if settings.credentials else config_home / "hop" / "auth.toml"
    entries = _read(path, "Make one with 'hop auth add'").get("auth", [])
    host = settings.bootstrap.split(",")[0].rsplit(":", 1)[0]
    ours = [entry for entry in entries if entry.get("hostname", "").split(":")[0] == host] or [
        entry for entry in entries if not entry.get("hostname")
    ]
    if not ours or not {"username", "password"} <= ours[0].keys():
        raise ConfigError(f"{path} has no entry with username and password for {host}. Add one with 'hop auth add'.")
    return {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": ours[0].get("mechanism", "SCRAM-SHA-512").replace("_", "-"),
        "sasl.username": ours[0]["username"],
        "sasl.password": ours[0]["password"],
        "ssl.ca.location": ours[0].get("ssl_ca_location") or certifi.where(),
    }


def _oidc(settings: Connection, mode: str) -> dict[str, Any]:
    """Read client id and secret from a file (``client_id``, ``client_secret``) or the environment (GCN)."""
    from gcn_kafka.core import get_config

    if settings.credentials:
        found = _read(Path(settings.credentials), "Write client_id and client_secret into it")
        client, secret = found.get("client_id"), found.get("client_secret")
    else:
        client, secret = os.environ.get(GCN_ID), os.environ.get(GCN_SECRET)
    if not client or not secret:
        where = settings.credentials or f"${GCN_ID} and ${GCN_SECRET}"
        raise ConfigError(f"No GCN credentials in {where}. Get them from the GCN web site and set them there.")
    config = {"bootstrap.servers": settings.bootstrap} if settings.bootstrap else {}
    properties = get_config(mode, config, client_id=client, client_secret=secret, domain=settings.domain)
    properties.pop("group.id", None)
    return dict(properties)


def _read(path: Path, remedy: str) -> dict[str, Any]:
    try:
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigError(f"Others may read the credentials in {path}: chmod 600 {path}")
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise ConfigError(f"Cannot read the credentials {path}: {error.strerror}. {remedy}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise ConfigError(f"{path} is not valid TOML. {remedy}.") from None
