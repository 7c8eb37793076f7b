"""Site profiles: the configuration of one cluster, as data."""

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

from gwbatch.config.alerts import AlertSettings
from gwbatch.config.campaign import CampaignSite
from gwbatch.config.limits import Limits
from gwbatch.config.merge import Origins, merge, note
from gwbatch.config.policy import read_toml
from gwbatch.config.resources import resource_directory
from gwbatch.config.standby import StandbySettings
from gwbatch.errors import ConfigError
from gwbatch.queues import QUEUES

NOTICE_TOPICS = ("gcn.notices.swift.bat.guano", "gcn.notices.svom.voevent.eclairs", "fermi.gbm.targeted.private.igwn")
"""Topics of JSON notices that IGWN's production system listens to; the last one needs an agreement with Fermi."""


class GraceDBSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The GraceDB server.

    Attributes
    ----------
    url : str
        Its API, e.g. ``https://gracedb-playground.ligo.org/api/``. If empty, the dispatcher still decides on alerts but
        writes nothing.
    auth : str
        ``default`` takes the credentials that the client finds (token, certificate or ``.netrc``); ``none`` sends none
        (for the sandbox).
    timeout : float
        Timeout of one request in seconds (the client itself has none).
    """

    url: str = ""
    auth: Literal["default", "none"] = "default"
    timeout: float = 30.0

    def __post_init__(self) -> None:
        if not 0 < self.timeout < float("inf"):
            raise ValueError(f"timeout must be positive and finite (got {self.timeout})")


class ListenerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A listener, i.e. one connection that stays open.

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
        File with the credentials. If empty: hop's ``auth.toml`` (``scram``), or ``$GCN_CLIENT_ID`` and
        ``$GCN_CLIENT_SECRET`` (``oidc``).
    domain : str
        GCN's domain: ``gcn.nasa.gov`` or ``test.gcn.nasa.gov``.
    start : str
        Where to start reading a topic for the first time: ``latest``, ``earliest`` or a Unix time in seconds.
    kafka : dict
        Further librdkafka properties.
    topics : list of str
        GCN: topics of JSON notices to listen to, besides those of GCN Classic and of plug-ins.
    directory : str
        The directory that a spool listener watches.
    max_bytes : int
        Largest payload in bytes; larger ones become dead letters.
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
    topics: list[str] = msgspec.field(default_factory=lambda: list(NOTICE_TOPICS))
    directory: str = ""
    max_bytes: int = 4 * 2**20


class Resources(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the jobs of a queue request.

    Attributes
    ----------
    cores : int
        Number of cores; 0 means the whole node.
    min_cores : int
        For whole-node jobs, the fewest cores that a node may have.
    min_share : float
        HTCondor, whole-node jobs: the share of its cores that a node must have free during the first `share_wait`
        seconds. After that `min_cores` are enough.
    share_wait : float
        HTCondor, whole-node jobs: seconds to wait for a node with `min_share` free.
    memory_mb, disk_mb : int
        Memory and disk in MiB; 0 leaves it to the scheduler.
    untouched_node : bool
        HTCondor, whole-node jobs: match only nodes on which no other job holds a core.
    requirements : str
        HTCondor: a further ClassAd expression that the node must satisfy.
    attributes : dict
        HTCondor: further attributes of the job ad (``+Name = value``).
    nice_user : bool
        HTCondor: run only where nobody else wants to.
    partition, qos, constraint, reservation : str
        Slurm: where these jobs go.
    run_on : str
        ``batch``, or ``local`` for the dispatcher's own machine, so that short jobs do not wait behind whole-node ones.
        ``scheduler.local_cores`` and ``scheduler.local_memory_mb`` limit the local jobs.
    time_limit : float
        Slurm: seconds after which the cluster ends the job; 0 takes `run_deadline`.
    queue_deadline, run_deadline, held_deadline : float
        Seconds that a job may spend queued, running and held.
    options : dict
        Further settings for a plug-in's batch system.
    """

    cores: int = 1
    min_cores: int = 1
    min_share: float = 0.75
    share_wait: float = 60.0
    memory_mb: int = 0
    disk_mb: int = 0
    untouched_node: bool = False
    requirements: str = ""
    attributes: dict[str, bool | int | float | str] = {}
    nice_user: bool = False
    partition: str = ""
    qos: str = ""
    constraint: str = ""
    reservation: str = ""
    run_on: Literal["batch", "local"] = "batch"
    time_limit: float = 0.0
    queue_deadline: float = 3600.0
    run_deadline: float = 3600.0
    held_deadline: float = 600.0
    options: dict[str, Any] = {}

    def __post_init__(self) -> None:
        counts = ("cores", "min_cores", "share_wait", "memory_mb", "disk_mb", "time_limit")
        for name in (*counts, "queue_deadline", "run_deadline", "held_deadline"):
            value = getattr(self, name)
            if not 0 <= value < float("inf") or (value == 0 and name not in counts):
                least = "and not negative" if name in counts else "and positive"
                raise ValueError(f"{name} must be finite {least} (got {value})")
        if not 0 <= self.min_share <= 1:
            raise ValueError(f"min_share must be from 0 to 1 (got {self.min_share})")

    @property
    def whole_node(self) -> bool:
        """Whether a job takes all cores of a node."""
        return self.cores == 0


class SchedulerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The batch system that runs the jobs, and the settings that all jobs share.

    Attributes
    ----------
    kind : str
        ``local``, ``htcondor``, ``slurm``, or the batch system of a plug-in.
    options : dict
        Further settings for a plug-in's batch system.
    bindings : str
        How to talk to it: ``python`` (htcondor2), ``pyslurm``, ``cli`` (the commands on PATH), or ``auto`` (the
        bindings where they work, else the commands).
    cores : int
        Local: total number of cores that jobs may use; 0 means all.
    em_bright : str
        The folder that ``gwbatch site prepare em-bright`` has made, by its path on the nodes. If empty, the site has no
        ligo.em_bright.
    local_cores, local_memory_mb : int
        Total cores and memory (MiB, as the queues request it) that jobs of queues with ``run_on = "local"`` may use
        beside a batch system; 0 memory: no limit.
    python : str
        Path on the nodes of the Python interpreter that has gwbatch; empty takes the path of the current one.
    accounting_group, accounting_user : str
        HTCondor: whom the jobs are charged to.
    accounting_required : bool
        HTCondor: refuse to run without an accounting group.
    job_directory : str
        Parent of the jobs' folders; empty takes ``jobs/`` in the state directory. On Slurm all nodes must see it.
    account : str
        Slurm: whom the jobs are charged to.
    forward : list of str
        Environment variables that jobs inherit from the dispatcher; never credentials.
    environment : dict
        Further environment variables of jobs.
    keep_claim_idle : int
        HTCondor: seconds for which the claim on a node is kept after a job ends; 0 leaves it to the pool.
    hold_releases : int
        How often a held job is released before it is removed and tried elsewhere.
    hold_release_after : float
        Seconds to wait before each release.
    partition : str
        Slurm: where jobs go unless their queue says otherwise.
    ask_every, ask_soonest : float
        Seconds between two queries to the scheduler about all jobs. HTCondor: always `ask_every`, in addition to its
        event log. Slurm: `ask_soonest` after a change, then doubling up to `ask_every`.
    patience : float
        Timeout in seconds of a query to the scheduler.
    warn_before : float
        Seconds before the batch system's time limit at which a job ends itself, so that its result can say why; 0
        leaves the end to the batch system.
    result_late : float
        Slurm: seconds to wait for the result of a job that has ended, because shared file systems lag.
    resident_node : str
        Slurm: the node whose local disk holds the ledger, if the dispatcher itself runs as a job.
    resident_directory : str
        Slurm: folder for the dispatcher's batch script and log, which that node must see; empty takes ``deploy/`` in
        the state directory.
    resident_partition, resident_qos : str
        Slurm: where the dispatcher runs. An empty partition falls back to `partition`.
    resident_cores, resident_memory_mb : int
        Slurm: cores and memory (MiB) that the dispatcher requests.
    resident_time_limit : float
        Slurm: time limit of the dispatcher's job in seconds; it queues a successor before the limit. 0 takes the
        partition's own limit.
    """

    kind: str = "local"
    bindings: Literal["auto", "python", "pyslurm", "cli"] = "auto"
    cores: int = 0
    em_bright: str = ""
    local_cores: int = 2
    local_memory_mb: int = 0
    python: str = ""
    accounting_group: str = ""
    accounting_user: str = ""
    accounting_required: bool = False
    job_directory: str = ""
    account: str = ""
    partition: str = ""
    forward: list[str] = msgspec.field(default_factory=lambda: ["LAL_DATA_PATH"])
    environment: dict[str, str] = {}
    keep_claim_idle: int = 0
    hold_releases: int = 2
    hold_release_after: float = 10.0
    ask_every: float = 60.0
    ask_soonest: float = 2.0
    patience: float = 20.0
    warn_before: float = 60.0
    result_late: float = 60.0
    resident_node: str = ""
    resident_directory: str = ""
    resident_partition: str = ""
    resident_qos: str = ""
    resident_cores: int = 1
    resident_memory_mb: int = 1500
    resident_time_limit: float = 0.0
    options: dict[str, Any] = {}


class NotifySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who gets which notifications.

    Attributes
    ----------
    webhook_file : str
        File with the address of an incoming webhook (Mattermost, Slack); the address is a secret.
    email_to : list of str
        Addresses; empty sends no e-mail.
    email_from, smtp : str
        Sender, and ``HOST:PORT`` of the mail server.
    select : list of str
        Prefixes of the findings to notify about, compared with ``key`` of ``gwbatch check --json``.
    after : float
        Seconds that a problem must last before a notification is sent.
    silence : float
        Seconds without a message after which a listener counts as silent; 0 takes ``silence`` of ``[limits]``.
    """

    webhook_file: str = ""
    email_to: list[str] = []
    email_from: str = ""
    smtp: str = "localhost:25"
    select: list[str] = msgspec.field(
        default_factory=lambda: [
            "dispatcher",
            "listener",
            "lane",
            "effects",
            "scheduler",
            "job",
            "failed job",
            "dead letters",
            "disk",
            "clock",
            "alert",
            "mock data",
        ]
    )
    after: float = 30.0
    silence: float = 0.0


class ConsoleSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who may use the console, and which campaigns it shows.

    Attributes
    ----------
    token_file : str
        File with the token that visitors must present; only its owner may have access to it.
    loopback : str
        Who may use the console on this machine if there is no `token_file`. ``token``: visitors with the token that the
        console generates in the state directory. ``open``: every account, but only to look.
    socket : str
        A Unix socket to listen on instead of a port. Only its owner can open it, so it needs no token.
    user_header : str
        Header in which a reverse proxy names the user it has authenticated (``X-Remote-User``).
    proxies : list of str
        Addresses of that proxy. The console ignores the header from any other address.
    campaigns : list of str
        Folders of campaigns, or their parent folders, for the campaigns page.
    """

    token_file: str = ""
    loopback: Literal["token", "open"] = "token"
    socket: str = ""
    user_header: str = ""
    proxies: list[str] = msgspec.field(default_factory=lambda: ["127.0.0.1", "::1"])
    campaigns: list[str] = msgspec.field(default_factory=list)


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The profile of one site.

    Attributes
    ----------
    standby : dict
        Queues whose jobs may go to pilots, and how the pilots run. The policy sets the number of pilots.
    campaign : CampaignSite
        How campaigns use a node, and what their batch jobs request.
    limits : dict
        Limits that differ from the defaults, by the names in `gwbatch.config.limits.Limits`.
    plugins : list of str
        Modules that declare handlers and jobs.
    plugin_folders : list of str
        Absolute paths of folders to search for them, besides the Python environment.
    fill_in : list of str
        Dotted names of values that must be filled in before the profile can be used.
    """

    name: str = "local"
    description: str = ""
    gracedb: GraceDBSettings = GraceDBSettings()
    listeners: dict[str, ListenerSettings] = {}
    scheduler: SchedulerSettings = SchedulerSettings()
    console: ConsoleSettings = ConsoleSettings()
    notify: NotifySettings = NotifySettings()
    alerts: AlertSettings = AlertSettings()
    queues: dict[str, Resources] = {}
    standby: dict[str, StandbySettings] = {}
    campaign: CampaignSite = CampaignSite()
    effect_workers: int = 8
    general_workers: int = 2
    keep_days: float = 7.0
    limits: dict[str, Any] = {}
    plugins: list[str] = []
    plugin_folders: list[str] = []
    fill_in: list[str] = []

    def __post_init__(self) -> None:
        Limits.of(self.limits)
        for queue in self.standby:
            self.pilot_resources(queue)

    def resources(self, queue: str) -> Resources:
        """Return what the jobs of a queue request."""
        return self.queues.get(queue) or Resources(cores=0 if queue == "openmp" else 1)

    def pilot_resources(self, queue: str) -> Resources:
        """Return what the batch jobs of a queue's pilots request.

        Raises
        ------
        ValueError
            If ``[standby.QUEUE.batch]`` has a setting that a queue does not have, or an invalid value.
        """
        differing = self.standby[queue].batch
        if "run_on" in differing:
            raise ValueError(f"standby.{queue}.batch must not set run_on, which queues.{queue} decides")
        try:
            return msgspec.convert({**msgspec.to_builtins(self.resources(queue)), **differing}, Resources)
        except msgspec.ValidationError as error:
            raise ValueError(f"standby.{queue}.batch: {error}") from error

    def job_folder(self, state: Path) -> Path:
        """Return the parent of the jobs' folders."""
        return Path(self.scheduler.job_directory) if self.scheduler.job_directory else state / "jobs"

    @property
    def missing(self) -> list[str]:
        """Dotted names of the values that only the site can supply and that are still empty."""
        values = msgspec.to_builtins(self)
        needed = [*self.fill_in, *(["scheduler.accounting_group"] if self.scheduler.accounting_required else [])]
        return [name for name in dict.fromkeys(needed) if not _value(values, name)]

    def require_complete(self, what: str = "") -> None:
        """Raise unless all values that the site must supply are filled in.

        Parameters
        ----------
        what : str
            Check only values whose dotted names begin with this (``scheduler.``).

        Raises
        ------
        ConfigError
            If a value is missing. The message names it and says how to supply it.
        """
        missing = [name for name in self.missing if name.startswith(what)]
        if missing:
            settings = " ".join(f"--set {name}=..." for name in missing)
            raise ConfigError(
                f"The site profile {self.name} is not complete: {', '.join(missing)} "
                f"{'is' if len(missing) == 1 else 'are'} empty. Fill in a copy (gwbatch site copy {self.name} "
                f"my-site.toml) and name that file, or add {settings}."
            )


def _value(values: Any, dotted: str) -> Any:
    for name in dotted.split("."):
        if not isinstance(values, dict) or name not in values:
            raise ConfigError(f"'fill_in' names {dotted!r}, which is not a value of the site profile.")
        values = values[name]
    return values


@dataclass(frozen=True)
class Site:
    """A profile, and where each of its values came from."""

    profile: Profile
    origins: Origins


def site_names() -> list[str]:
    """Return the names of the packaged profiles."""
    return sorted(path.stem for path in resource_directory("site-configs").glob("*.toml"))


def load_site(name: str, settings: Iterable[str] = ()) -> Site:
    """Load a packaged profile by name, or a TOML file by path, and override values with ``a.b=value`` settings.

    Raises
    ------
    ConfigError
        If there is no such profile, or it is invalid.
    """
    path = Path(name) if name.endswith(".toml") else packaged_profile(name)
    if not path.exists():
        if name.endswith(".toml"):
            raise ConfigError(f"There is no file {name}. Create it with: gwbatch site copy htcondor-generic {name}")
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
    unknown = sorted(set(profile.queues) - set(QUEUES))
    if unknown:
        raise ConfigError(f"The site profile {path} names the queue {unknown[0]!r}. Known are {' and '.join(QUEUES)}.")
    return Site(profile, origins)


def packaged_profile(name: str) -> Path:
    """Return the path of a packaged profile."""
    return resource_directory("site-configs") / f"{name}.toml"


def _setting(text: str) -> dict[str, Any]:
    """Parse ``NAME=VALUE`` as TOML. A value that is not valid TOML is taken as a string."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--set {text!r}: write NAME=VALUE, e.g. --set gracedb.timeout=10.")
    if re.search("password|secret", name):
        raise ConfigError(f"--set {name}=...: others could see a secret on the command line. Put it into a file.")
    for attempt in (value, json.dumps(value.strip())):
        try:
            return tomllib.loads(f"{name} = {attempt}")
        except tomllib.TOMLDecodeError:
            continue
    raise ConfigError(f"--set {text!r}: write NAME=VALUE, e.g. --set gracedb.timeout=10.")


def default_state_directory() -> Path:
    """Return the default state directory.

    It is ``$GWBATCH_STATE``, else ``gwbatch`` in ``$XDG_STATE_HOME`` (by default ``~/.local/state``).
    """
    configured = os.environ.get("GWBATCH_STATE")
    if configured:
        return Path(configured)
    return Path(os.environ.get("XDG_STATE_HOME", Path.home() / ".local/state")) / "gwbatch"
