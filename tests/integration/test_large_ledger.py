"""What is asked often stays quick, and a ledger of another version is refused in words."""

from __future__ import annotations

import time
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gwbatch.cli import cli
from gwbatch.config.limits import Limits
from gwbatch.errors import ConfigError
from gwbatch.ledger import Ledger
from gwbatch.metrics.exposition import exposition
from gwbatch.reports.health import findings
from gwbatch.reports.listings import LISTINGS, Wanted, jobs
from gwbatch.reports.status import report
from tests.integration.rig import Rig


def gwbatch(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def test_nothing_that_is_asked_often_reads_a_whole_table(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A million messages must not be looked through: every query has its index, or stops early."""
    asked: list[tuple[str, Any]] = []
    real = Ledger.read

    def read(self: Ledger, sql: str, parameters: Any = ()) -> Any:
        asked.append((sql, parameters))
        return real(self, sql, parameters)

    monkeypatch.setattr(Ledger, "read", read)
    report(rig.ledger, time.time())
    exposition(rig.ledger, time.time())
    for look in LISTINGS.values():
        look(rig.ledger, Wanted())
        look(rig.ledger, Wanted(words="G1", before="5"))
    jobs(rig.ledger, Wanted(state="FAILED"))
    jobs(rig.ledger, Wanted(kind="localize"))
    findings(rig.ledger, report(rig.ledger, time.time()), Limits())
    large = {"messages", "m", "deliveries", "d", "effects", "e", "jobs", "superevents", "s", "events", "decisions"}
    for sql, parameters in asked:
        for row in rig.ledger.connection.execute(f"EXPLAIN QUERY PLAN {sql}", parameters):
            words = row["detail"].split()
            if words[0] == "SCAN" and words[1] in large and "USING" not in words:
                assert "LIMIT" in sql or "max(id)" in sql, (sql, row["detail"])
            assert "TEMP B-TREE FOR ORDER BY" not in row["detail"] or words[1] not in large, (sql, row["detail"])


def test_a_ledger_of_an_earlier_version_is_refused_in_words(ledger: Ledger) -> None:
    assert ledger.path is not None
    ledger.connection.execute("DELETE FROM _sqlite_migrations WHERE name = '0005_views'")
    done = gwbatch("status", "--state", str(ledger.path.parent))
    assert isinstance(done.exception, ConfigError)
    assert "earlier version" in str(done.exception)
