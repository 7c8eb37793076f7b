"""Site profiles: where things are on one cluster, as data."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from gwbatch.config.merge import Origins, merge, note
from gwbatch.config.policy import read_toml
from gwbatch.config.resources import resource_directory
from gwbatch.errors import ConfigError


class GraceDBSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The GraceDB server.

    Attributes
    ----------
    url : str
        Its API, e.g. ``https://gracedb-playground.ligo.org/api/``; empty: alerts are decided, nothing is written.
    auth : str
        ``default`` looks for a SciToken; ``none`` asks as nobody (the sandbox).
    timeout : float
        Seconds for one request (the client itself has none).
    """

    url: str = ""
    auth: Literal["default", "none"] = "default"
    timeout: float = 30.0


class ListenerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One connection that stays open.

    Attributes
    ----------
    kind : str
        ``igwn-alert`` or ``gcn`` (both Kafka), or ``spool`` (a directory).
    bootstrap : str
        Kafka brokers, ``host:port[,host:port]``.
    group : str
        First part of the topic names (``gracedb``, ``gracedb-playground``).
    auth : str
        ``scram`` (SCiMMA), ``oidc`` (GCN) or ``none``.
    credentials : str
        File with the credentials; empty: hop's ``auth.toml``, or ``$GCN_CLIENT_ID`` and ``$GCN_CLIENT_SECRET``.
    domain : str
        Of GCN: ``gcn.nasa.gov``, ``test.gcn.nasa.gov``.
    start : str
        Where to begin a topic that was never read: ``latest``, ``earliest`` or a Unix time in seconds.
    kafka : dict
        Further librdkafka properties.
    directory : str
        What a spool listener watches.
    max_bytes : int
        Larger payloads are dead letters.
    """

    kind: Literal["igwn-alert", "gcn", "spool"] = "igwn-alert"
    enabled: bool = True
    bootstrap: str = ""
    group: str = "gracedb"
    auth: Literal["none", "scram", "oidc"] = "none"
    credentials: str = ""
    domain: str = "gcn.nasa.gov"
    start: str = "latest"
    kafka: dict[str, str | int | float | bool] = {}
    directory: str = ""
    max_bytes: int = 4 * 2**20


class Resources(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the jobs of a queue ask of a node.

    Attributes
    ----------
    cores : int
        Number of cores; 0 means the whole node.
    min_cores : int
        For whole-node jobs, the least a node must have.
    memory_mb : int
        Memory in MiB; 0 leaves it to the scheduler.
    queue_deadline, run_deadline, held_deadline : float
        Seconds that a job may spend queued, running and held.
    """

    cores: int = 1
    min_cores: int = 1
    memory_mb: int = 0
    queue_deadline: float = 3600.0
    run_deadline: float = 3600.0
    held_deadline: float = 600.0

    @property
    def whole_node(self) -> bool:
        """Whether a job takes all cores of a node."""
        return self.cores == 0


class SchedulerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who runs the jobs."""

    kind: Literal["local"] = "local"
    cores: int = 0
    python: str = ""


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One site."""

    name: str = "local"
    description: str = ""
    gracedb: GraceDBSettings = GraceDBSettings()
    listeners: dict[str, ListenerSettings] = {}
    scheduler: SchedulerSettings = SchedulerSettings()
    queues: dict[str, Resources] = {}
    effect_workers: int = 8
    general_workers: int = 2
    keep_days: float = 7.0
    plugins: list[str] = []


@dataclass(frozen=True)
class Site:
    """A profile, and where each of its values came from."""

    profile: Profile
    origins: Origins


def site_names() -> list[str]:
    """Names of the profiles that gwbatch brings."""
    return sorted(path.stem for path in resource_directory("site-configs").glob("*.toml"))


def load_site(name: str, settings: Iterable[str] = ()) -> Site:
    """The profile `name` (of a packaged profile, or a TOML file's path), with ``a.b=value`` settings laid over it.

    Raises
    ------
    ConfigError
        When there is no such profile, or it says something that cannot be meant.
    """
    path = Path(name) if name.endswith(".toml") else resource_directory("site-configs") / f"{name}.toml"
    if not path.exists():
        raise ConfigError(
            f"There is no site profile {name!r}. Choose one of {', '.join(site_names())}, "
            "or give the path of a .toml file."
        )
    values: dict[str, Any] = {}
    origins: Origins = {}
    note(origins, "", msgspec.to_builtins(Profile()), "default")
    origins = {dotted.lstrip("."): origin for dotted, origin in origins.items()}
    merge(values, read_toml(path), origins, str(path))
    for setting in settings:
        merge(values, _setting(setting), origins, "command line")
    try:
        profile = msgspec.convert(values, Profile, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(
            f"The site profile {path} is not valid: {error}. See 'gwbatch site show {name} --origin'."
        ) from error
    return Site(profile, origins)


def _setting(text: str) -> dict[str, Any]:
    """``NAME=VALUE`` as TOML would read it; a value that is no TOML is taken as it stands."""
    name, _, value = text.partition("=")
    if re.search("password|secret", name):
        raise ConfigError(
            f"--set {name}=...: a secret on the command line would be seen by others; put it into a file."
        )
    for attempt in (value, json.dumps(value.strip())):
        try:
            return tomllib.loads(f"{name} = {attempt}")
        except tomllib.TOMLDecodeError:
            continue
    raise ConfigError(f"--set {text!r}: write NAME=VALUE, e.g. --set gracedb.timeout=10.")


def default_state_directory() -> Path:
    """Where state lives unless a command says otherwise: ``$GWBATCH_STATE``, else ``~/.local/state/gwbatch``."""
    configured = os.environ.get("GWBATCH_STATE")
    if configured:
        return Path(configured)
    return Path(os.environ.get("XDG_STATE_HOME", Path.home() / ".local/state")) / "gwbatch"
