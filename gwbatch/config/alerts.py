"""The policy for public alerts and the brokers that receive them, as typed, frozen values."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Category = Literal["production", "mdc"]


class HighProfile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Thresholds for HIGH_PROFILE, with which a preliminary notice calls people together; see ``policy.toml``."""

    terrestrial: float
    above: dict[str, float]
    area: float


class DataQuality(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the data around a superevent are judged; see ``policy.toml``."""

    margin: float
    margins: dict[str, float]
    wait: float
    ungated: list[str]
    idq_threshold: float
    idq_veto: list[str]
    idq_ok: str
    idq_fap: str
    bits: dict[str, dict[str, int]]
    ungated_bits: dict[str, dict[str, int]]
    frame_types: dict[str, list[str]] = {}

    def window(self, pipeline: str, t_start: float, t_end: float) -> tuple[float, float]:
        """Return the GPS times (s) between which the data are checked."""
        margin = self.margins.get(pipeline, self.margin)
        return t_start - margin, t_end + margin

    def tables(self, pipeline: str) -> dict[str, dict[str, int]]:
        """Return the state vectors that count for a pipeline, and their bits."""
        return {**self.bits, **(self.ungated_bits if pipeline in self.ungated else {})}


class Alerts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every parameter of the public-alert chain; ``policy.toml`` documents each."""

    second_after: float
    dqr_after_early_warning: float
    oldest: float
    url_wait: float
    wait: dict[str, float]
    not_without: list[str]
    blocked_also: dict[str, list[str]]
    retract_unannounced: bool
    high_profile: HighProfile
    data_quality: DataQuality

    def product_wait(self, kind: str, product: str) -> float:
        """Return how long (s) a notice waits for a product.

        A setting for ``kind:product`` takes precedence over one for the product; without either it is 0.
        """
        return self.wait.get(f"{kind}:{product}", self.wait.get(product, 0.0))

    def goes_without(self, kind: str, product: str) -> bool:
        """Return whether a notice goes out with an empty field if a product is still missing after its wait."""
        return not {product, f"{kind}:{product}"} & set(self.not_without)


class BrokerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A broker that receives notices.

    Attributes
    ----------
    bootstrap : str
        Kafka brokers, ``host:port[,host:port]``. May be empty for ``oidc``, which then uses GCN's brokers at `domain`.
    topic : str
        The topic for the notices.
    format : str
        ``avro`` (SCiMMA) or ``json`` (GCN).
    categories : list of str
        Categories of superevents whose notices may go there: ``production``, ``mdc``. Notices about test superevents
        are never sent.
    auth : str
        ``scram`` (SCiMMA), ``oidc`` (GCN) or ``none``.
    credentials : str
        File with the credentials. If empty: hop's ``auth.toml`` (``scram``), or ``$GCN_CLIENT_ID`` and
        ``$GCN_CLIENT_SECRET`` (``oidc``).
    domain : str
        GCN's domain: ``gcn.nasa.gov`` or ``test.gcn.nasa.gov``.
    max_bytes : int
        Largest notice that the broker accepts, in bytes. A larger one is sent without its combined map, or without any
        map.
    delivery_timeout : float
        Seconds after which an unconfirmed notice is looked for on the topic and, if it is not there, sent again.
    read_back : bool
        Whether we may read the topic. If not, a notice whose delivery is unknown is sent again at once.
    test : bool
        Mark every notice as a test (header ``_test``).
    kafka : dict
        Further librdkafka properties.
    """

    topic: str
    bootstrap: str = ""
    format: Literal["avro", "json"]
    categories: list[Category]
    auth: Literal["none", "scram", "oidc"] = "none"
    credentials: str = ""
    domain: str = "gcn.nasa.gov"
    max_bytes: int = 4 * 2**20
    delivery_timeout: float = 30.0
    read_back: bool = True
    test: bool = False
    kafka: dict[str, Any] = {}

    def __post_init__(self) -> None:
        if not self.topic or not (self.bootstrap or self.auth == "oidc"):
            raise ValueError("a broker needs 'topic', and 'bootstrap' unless auth is oidc")
        if not 0 < self.delivery_timeout < float("inf") or self.max_bytes < 10_000:
            raise ValueError("delivery_timeout must be positive and finite, max_bytes at least 10000")

    @property
    def address(self) -> str:
        """The broker's address, for display."""
        return self.bootstrap or f"kafka.{self.domain}"

    @property
    def is_loopback(self) -> bool:
        """Whether the broker is on this machine, where the public cannot read."""
        hosts = [host.rpartition(":")[0].strip("[]") for host in self.bootstrap.split(",")]
        return all(host in ("127.0.0.1", "localhost", "::1") for host in hosts)


class AlertSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether public alerts are sent, and where.

    Attributes
    ----------
    mode : str
        ``off``, ``mdc`` (only about MDC superevents) or ``all`` (about production superevents too).
    dry_run : bool
        Freeze and check every notice but send none, to shadow another system.
    expose : bool
        Make production superevents public in GraceDB before their first notice goes out.
    mdc_every : float
        Seconds between the mock events that the dispatcher uploads as a sign of life; 0: never. The field's own mock
        events come hourly.
    frames : dict
        Pattern of the low-latency frame files of each detector (``H1 = "/kafka/H1/*.gwf"``).
    frame_server : str
        GWDataFind server (``host[:port]``) for frames that `frames` does not find. If both are empty, data quality is
        not checked.
    brokers : dict
        Brokers by name.
    """

    mode: Literal["off", "mdc", "all"] = "off"
    dry_run: bool = False
    expose: bool = True
    mdc_every: float = 0.0
    frames: dict[str, str] = {}
    frame_server: str = ""
    brokers: dict[str, BrokerSettings] = {}

    def __post_init__(self) -> None:
        if not 0 <= self.mdc_every < float("inf") or 0 < self.mdc_every < 60:
            raise ValueError("mdc_every must be 0 or at least 60 s")

    @property
    def has_frames(self) -> bool:
        """Whether the profile says where to find frames."""
        return bool(self.frames or self.frame_server)

    def covers(self, category: str) -> bool:
        """Return whether superevents of a category get notices at all."""
        return category == "mdc" if self.mode == "mdc" else self.mode == "all" and category in ("production", "mdc")

    def brokers_for(self, category: str) -> dict[str, BrokerSettings]:
        """Return the brokers that get notices about a category."""
        if not self.covers(category):
            return {}
        return {name: broker for name, broker in self.brokers.items() if category in broker.categories}
