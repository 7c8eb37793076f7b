"""Credentials from files and the environment, which must be protected and never leak."""

from __future__ import annotations

from pathlib import Path

import pytest

from gwbatch.brokers import connection_properties
from gwbatch.config.profile import ListenerSettings, load_site
from gwbatch.errors import ConfigError

AUTH = """[[auth]]
hostname = "kafka.scimma.org"
username = "me-1234"
password = "geheim"
mechanism = "SCRAM_SHA_512"

[[auth]]
hostname = "elsewhere.example.org"
username = "other"
password = "other"
"""


@pytest.fixture
def auth_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "hop").mkdir()
    path = tmp_path / "hop" / "auth.toml"
    path.write_text(AUTH)
    path.chmod(0o600)
    return path


def scram(bootstrap: str = "kafka.scimma.org:9092") -> dict[str, object]:
    return connection_properties(ListenerSettings(auth="scram", bootstrap=bootstrap))


def test_scimma_takes_hops_own_file(auth_file: Path) -> None:
    found = scram()
    assert (found["sasl.username"], found["sasl.password"]) == ("me-1234", "geheim")
    assert (found["security.protocol"], found["sasl.mechanism"]) == ("SASL_SSL", "SCRAM-SHA-512")


def test_a_file_that_others_may_read_is_refused(auth_file: Path) -> None:
    auth_file.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        scram()


def test_missing_credentials_are_told_without_any_secret(auth_file: Path) -> None:
    with pytest.raises(ConfigError, match=r"no entry .* for kafka\.example\.org") as caught:
        scram("kafka.example.org:9092")
    assert "geheim" not in str(caught.value)
    auth_file.write_text('password = "geheim')
    with pytest.raises(ConfigError) as caught:
        scram()
    assert "geheim" not in str(caught.value)
    auth_file.unlink()
    with pytest.raises(ConfigError, match="hop auth add"):
        scram()


def test_gcn_takes_the_environment_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ListenerSettings(kind="gcn", auth="oidc", domain="test.gcn.nasa.gov")
    with pytest.raises(ConfigError, match=r"\$GCN_CLIENT_ID"):
        connection_properties(settings)
    monkeypatch.setenv("GCN_CLIENT_ID", "id")
    monkeypatch.setenv("GCN_CLIENT_SECRET", "geheim")
    found = connection_properties(settings)
    assert found["bootstrap.servers"] == "kafka.test.gcn.nasa.gov"
    assert found["sasl.oauthbearer.client.secret"] == "geheim"
    assert "group.id" not in found
    file = tmp_path / "gcn.toml"
    file.write_text('client_id = "of the file"\nclient_secret = "x"\n')
    file.chmod(0o600)
    found = connection_properties(ListenerSettings(kind="gcn", auth="oidc", credentials=str(file)))
    assert found["sasl.oauthbearer.client.id"] == "of the file"


@pytest.mark.parametrize("name", ["'sasl.password'", "'sasl.oauthbearer.client.secret'"])
def test_a_secret_on_the_command_line_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="others could see") as caught:
        load_site("local", [f"listeners.igwn-alert.kafka.{name}=geheim"])
    assert "geheim" not in str(caught.value)
