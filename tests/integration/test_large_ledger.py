"""Large ledgers, on which frequent queries stay fast, and ledgers of an earlier version, which are refused."""

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
from tests.integration.harness import Harness


def gwbatch(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def test_nothing_that_is_asked_often_reads_a_whole_table(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """No query may scan a million messages; each uses an index or stops early."""
    asked: list[tuple[str, Any]] = []
    real = Ledger.read

    def read(self: Ledger, sql: str, parameters: Any = ()) -> Any:
        asked.append((sql, parameters))
        return real(self, sql, parameters)

    monkeypatch.setattr(Ledger, "read", read)
    report(harness.ledger, time.time())
    exposition(harness.ledger, time.time())
    for look in LISTINGS.values():
        look(harness.ledger, Wanted())
        look(harness.ledger, Wanted(words="G1", before="5"))
    jobs(harness.ledger, Wanted(state="FAILED"))
    jobs(harness.ledger, Wanted(kind="localize"))
    findings(harness.ledger, report(harness.ledger, time.time()), Limits())
    large = {"messages", "m", "deliveries", "d", "effects", "e", "jobs", "superevents", "s", "events", "decisions"}
    for sql, parameters in asked:
        for row in harness.ledger.connection.execute(f"EXPLAIN QUERY PLAN {sql}", parameters):
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
