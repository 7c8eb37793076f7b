"""Settings of alert brokers: what a profile may contain, and which brokers are on this machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gwbatch.alerts import KINDS, AlertKind, declare
from gwbatch.config.alerts import BrokerSettings
from gwbatch.config.profile import load_site, site_names
from gwbatch.errors import ConfigError

GCN = """alerts.brokers.gcn={topic="igwn.gwalert", format="json", categories=["mdc"], auth="oidc"}"""


def broker(**changes: object) -> BrokerSettings:
    return BrokerSettings(**{"bootstrap": "a:1", "topic": "t", "format": "json", "categories": ["mdc"], **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", site_names())
def test_alerts_are_off_in_every_profile_that_gwbatch_brings(name: str) -> None:
    alerts = load_site(name).profile.alerts
    assert alerts.mode == "off"
    assert alerts.brokers == {}


@pytest.mark.parametrize(
    ("bootstrap", "here"),
    [
        ("127.0.0.1:9092", True), ("localhost:9092,127.0.0.1:9093", True), ("[::1]:9092", True),
        ("127.0.0.1:9092,kafka.scimma.org:9092", False), ("kafka.scimma.org:9092", False), ("", False),
        ("localhost.example.org:9092", False),
    ],
)  # fmt: skip
def test_a_broker_is_on_this_machine_only_if_all_its_addresses_are(bootstrap: str, here: bool) -> None:
    assert broker(bootstrap=bootstrap, auth="oidc").is_loopback is here


def test_gcn_needs_no_address() -> None:
    found = load_site("local", [GCN]).profile.alerts.brokers["gcn"]
    assert found.address == "kafka.gcn.nasa.gov"


@pytest.mark.parametrize(
    "setting",
    [
        'alerts.brokers.x={topic="t", format="json", categories=["mdc"]}',
        'alerts.brokers.x={bootstrap="a:1", topic="", format="json", categories=["mdc"]}',
        'alerts.brokers.x={bootstrap="a:1", topic="t", format="xml", categories=["mdc"]}',
        'alerts.brokers.x={bootstrap="a:1", topic="t", format="json", categories=["test"]}',
        'alerts.brokers.x={bootstrap="a:1", topic="t", format="json", categories=["mdc"], delivery_timeout=0.0}',
        "alerts.mode=on",
    ],
)
def test_what_cannot_be_meant_is_refused(setting: str) -> None:
    with pytest.raises(ConfigError):
        load_site("local", [setting])


def test_kinds_have_names_and_labels_of_their_own() -> None:
    for rival in (AlertKind("initial", "UPDATE"), AlertKind("another", "UPDATE", label="ADVOK")):
        with pytest.raises(ConfigError, match="already taken"):
            declare(rival)
    assert "another" not in KINDS


def test_every_kind_is_in_the_documentation() -> None:
    text = (Path(__file__).parents[2] / "docs" / "alerts.md").read_text()
    # In a separate process, which has no plug-in of another test loaded.
    command = [sys.executable, "-c", "from gwbatch.alerts import KINDS; print(*KINDS)"]
    kinds = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert len(kinds) == 9
    assert [kind for kind in kinds if f"| {kind} |" not in text] == []
