"""The policy file as typed, frozen values."""

from __future__ import annotations

import math
import tomllib
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import msgspec

from gwbatch.config.alerts import Alerts
from gwbatch.config.external import ExternalPolicy
from gwbatch.config.merge import Origins, merge
from gwbatch.config.standby import StandbyPolicy
from gwbatch.errors import ConfigError


class Threshold(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Publishable when ``trials * FAR <= far`` (Hz)."""

    far: float
    trials: float


class Windows(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Half-widths of event windows in s, by pipeline or group."""

    default: float
    half_width: dict[str, float]
    durations: dict[str, float]
    quality_over_frequency: list[str]


class Ranking(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the preferred event is chosen."""

    ranking_instruments_only: bool
    burst_like_pipelines: list[str]
    rank_of_others: int
    rank: dict[str, int]


class Annotation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which products are made, and the parameters of their jobs."""

    superevent_when: list[str]
    leave_out: list[str]
    max_attempts: int
    made_by: dict[str, str]
    made_for: dict[str, list[str]]
    parameters: dict[str, dict[str, Any]]


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """Every parameter of the science rules; ``policy.toml`` documents each."""

    topics: list[str]
    drop_instruments: list[str]
    drop_searches: list[str]
    far_limit: float
    future_limit: float
    clustering: Literal["auto", "server", "client"]
    search_within: float
    windows: Windows
    complete: dict[str, list[str]]
    significant: dict[str, Threshold]
    less_significant: dict[str, Threshold]
    ranking: Ranking
    annotation: Annotation
    external: ExternalPolicy
    alerts: Alerts
    standby: dict[str, StandbyPolicy] = {}

    @property
    def ranking_instruments_only(self) -> bool:
        return self.ranking.ranking_instruments_only

    @cached_property
    def burst_like_pipelines(self) -> frozenset[str]:
        return frozenset(self.ranking.burst_like_pipelines)

    @property
    def rank_of_others(self) -> int:
        return self.ranking.rank_of_others

    @property
    def rank(self) -> dict[str, int]:
        return self.ranking.rank


def load_policy(*overrides: Path) -> Policy:
    """Load the documented defaults and override them with the files in `overrides`, in order.

    Raises
    ------
    ConfigError
        If a file cannot be read, names something unknown, or has an invalid value.
    """
    values, origins = default_policy(), Origins()
    for path in overrides:
        merge(values, read_toml(path), origins, str(path))
    return policy_from(values)


def policy_from(values: dict[str, Any]) -> Policy:
    """Check a mapping with the structure of ``policy.toml`` and return it as a policy."""
    try:
        policy = _case_folded(msgspec.convert(values, Policy))
    except msgspec.ValidationError as error:
        raise ConfigError(f"The policy is not valid: {error}. Compare with 'gwbatch site show --policy'.") from error
    for level in (policy.significant, policy.less_significant):
        for kind, threshold in level.items():
            if not (math.isfinite(threshold.far) and threshold.trials > 0):
                raise ConfigError(
                    f"The policy's threshold of {kind} must be a finite rate with positive trials; "
                    "omit the kind to disable it."
                )
    return policy


def _case_folded(policy: Policy) -> Policy:
    """Convert kinds, searches and pipelines to lower case and instruments to upper case, as events have them."""

    def keys(table: dict[str, Any]) -> dict[str, Any]:
        return {name.lower(): value for name, value in table.items()}

    def words(names: list[str]) -> list[str]:
        return [name.lower() for name in names]

    windows, ranking, annotation = policy.windows, policy.ranking, policy.annotation
    return msgspec.structs.replace(
        policy,
        topics=words(policy.topics),
        drop_instruments=[name.upper() for name in policy.drop_instruments],
        drop_searches=words(policy.drop_searches),
        complete=keys(policy.complete),
        significant=keys(policy.significant),
        less_significant=keys(policy.less_significant),
        windows=msgspec.structs.replace(
            windows,
            half_width=keys(windows.half_width),
            durations=keys(windows.durations),
            quality_over_frequency=words(windows.quality_over_frequency),
        ),
        ranking=msgspec.structs.replace(
            ranking, burst_like_pipelines=words(ranking.burst_like_pipelines), rank=keys(ranking.rank)
        ),
        annotation=msgspec.structs.replace(
            annotation, made_for={name: words(kinds) for name, kinds in annotation.made_for.items()}
        ),
    )


def default_policy() -> dict[str, Any]:
    """Read the packaged ``policy.toml``."""
    return tomllib.loads(files("gwbatch.config").joinpath("policy.toml").read_text())


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; errors name the file."""
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise ConfigError(f"Cannot read {path}: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.") from error
