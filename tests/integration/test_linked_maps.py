"""Sky maps that notices link to or contain: fetched within limits, from trusted addresses and with retries."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gwbatch.config.policy import load_policy
from gwbatch.errors import BadInput, NotThereYet, TransientError
from gwbatch.executors import inputs
from gwbatch.executors.inputs import Patience, decode_map, fetch_map
from gwbatch.reports.status import report
from tests.integration.harness import Harness, Server
from tests.notices import GUANO, fermi, guano

LIMIT = 1000
NOW = 1000.0
PATIENT, OVER = Patience(0.0, 2000.0), Patience(0.0, 2000.0, tries=40)


class Site(HTTPServer):
    """A web server that answers with the status, body and headers in `pages`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Page)
        self.pages: dict[str, tuple[int, bytes, dict[str, str]]] = {}
        self.asked: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_port}/"


class Page(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        status, body, headers = self.server.pages.get(self.path, (404, b"", {}))
        if not status:  # the body is a raw answer that breaks the protocol
            self.wfile.write(body)
            return
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@pytest.fixture
def site() -> Iterator[Site]:
    running = Site()
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()


def test_a_map_is_fetched(site: Site) -> None:
    site.pages["/map.fits"] = (200, b"a map", {})
    assert fetch_map(f"{site.url}map.fits", [site.url], LIMIT, OVER, NOW) == b"a map"


def test_a_map_that_is_not_there_yet_is_waited_for_only_so_long(site: Site) -> None:
    with pytest.raises(TransientError, match="status 404"):
        fetch_map(f"{site.url}map.fits", [site.url], LIMIT, PATIENT, NOW)
    with pytest.raises(BadInput, match=r"status 404\. Gave up after 40 tries"):
        fetch_map(f"{site.url}map.fits", [site.url], LIMIT, OVER, NOW)


@pytest.mark.parametrize("url", ["http://169.254.169.254/secret", "file:///etc/passwd", "https://gcn.nasa.gov.evil/x"])
def test_only_trusted_addresses_are_asked(url: str) -> None:
    with pytest.raises(BadInput, match=r"matches no prefix in external\.map_sources"):
        fetch_map(url, load_policy().external.map_sources, LIMIT, PATIENT, NOW)


def test_nobody_is_followed_elsewhere(site: Site) -> None:
    site.pages["/map.fits"] = (302, b"", {"Location": "http://127.0.0.1:1/secret"})
    with pytest.raises(BadInput, match="status 302"):
        fetch_map(f"{site.url}map.fits", [site.url], LIMIT, OVER, NOW)


def test_a_map_without_end_is_cut_off(site: Site) -> None:
    site.pages["/map.fits"] = (200, b"x" * 200_000, {})
    with pytest.raises(BadInput, match="larger than 1000 bytes"):
        fetch_map(f"{site.url}map.fits", [site.url], LIMIT, PATIENT, NOW)


@pytest.mark.parametrize("text", ["", "!!!", base64.b64encode(b"x" * 2000).decode()])
def test_a_map_inside_is_checked(text: str) -> None:
    with pytest.raises(BadInput):
        decode_map(text, LIMIT)


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
    ],
)  # fmt: skip
def test_a_server_that_breaks_the_protocol_costs_a_try(site: Site, answer: bytes) -> None:
    site.pages["/map.fits"] = (0, answer, {})
    with pytest.raises(NotThereYet, match="Trying again later"):
        fetch_map(f"{site.url}map.fits", [site.url], LIMIT, PATIENT, NOW)
    with pytest.raises(BadInput, match="Gave up"):
        fetch_map(f"{site.url}map.fits", [site.url], LIMIT, OVER, NOW)


def test_a_server_that_is_too_slow_costs_a_try(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "WHOLE", -1.0)
    site.pages["/map.fits"] = (200, b"x" * 100, {"Content-Length": "100"})
    with pytest.raises(NotThereYet, match="only 100 bytes"):
        fetch_map(f"{site.url}map.fits", [site.url], LIMIT, PATIENT, NOW)
    with pytest.raises(BadInput, match="Gave up"):
        fetch_map(f"{site.url}map.fits", [site.url], LIMIT, OVER, NOW)


def test_tries_and_time_are_bounded_and_pauses_grow() -> None:
    assert Patience(0.0, 100.0).is_over(100.0)
    assert not Patience(0.0, 100.0, tries=39).is_over(99.0)
    assert Patience(0.0, 100.0, tries=40).is_over(1.0)
    pauses = [Patience(0.0, 1.0, tries=tries).pause for tries in range(1, 40)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 300.0


def test_an_address_with_http_is_asked_with_https(site: Site) -> None:
    with pytest.raises(NotThereYet, match=f"https://127.0.0.1:{site.server_port}"):
        fetch_map(f"{site.url}map.fits", [site.url.replace("http", "https")], LIMIT, PATIENT, NOW)
    assert site.asked == []


def patient_harness(tmp_path: Path, server: Server, site: Site) -> Harness:
    policy = load_policy()
    external = msgspec.structs.replace(policy.external, map_sources=[site.url], map_wait=600.0)
    return Harness(tmp_path / "state", server, msgspec.structs.replace(policy, external=external))


def linked(harness: Harness, url: str) -> None:
    harness.notice(json.dumps(guano(ra=10.0, dec=20.0, ra_dec_error=5.0, healpix_url=url)).encode(), GUANO)


def test_the_model_serves_until_the_observatorys_own_map_comes(tmp_path: Path, server: Server, site: Site) -> None:
    harness = patient_harness(tmp_path, server, site)
    linked(harness, f"{site.url}map.fits")
    harness.settle()
    (row,) = harness.ledger.read("SELECT version FROM products WHERE name = 'external.multiorder.fits'")
    assert not row["version"].endswith(".given")
    site.pages["/map.fits"] = (200, b"a map", {})
    harness.settle(120)
    (row,) = harness.ledger.read("SELECT version FROM products WHERE name = 'external.multiorder.fits'")
    assert row["version"].endswith(".given")
    (event,) = harness.externals()
    assert "external.multiorder.fits,1" in harness.files(event["graceid"])
    assert harness.dead() == []
    harness.ledger.close()


def test_a_map_that_never_comes_is_said_so_and_the_model_stays(tmp_path: Path, server: Server, site: Site) -> None:
    harness = patient_harness(tmp_path, server, site)
    linked(harness, f"{site.url}map.fits")
    harness.settle(1200)
    (event,) = harness.externals()
    assert any("Gave up after" in comment for comment in harness.logs(event["graceid"]))
    assert "EXT_SKYMAP_READY" in event["labels"]
    harness.ledger.close()


def test_a_map_inside_the_notice_goes_to_the_job(harness: Harness) -> None:
    inside = base64.b64encode(b"SIMPLE").decode()
    harness.notice(json.dumps(guano(ra=None, dec=None, healpix_file=inside)).encode(), GUANO)
    harness.settle()
    (job,) = harness.ledger.read("SELECT directory FROM jobs WHERE kind = 'external-skymap'")
    assert (Path(job["directory"]) / "given.fits").read_bytes() == b"SIMPLE"


FOLDER = "FTP/fermi/data/gbm/triggers/2026/bn260301500"
OFFICIAL = f"/{FOLDER}/current/glg_healpix_all_bn260301500_v00.fit"


def final_position(site: Site) -> bytes:
    return fermi(115, LightCurve_URL=f"{site.url}{FOLDER}/quicklook/glg_lc_bn260301500.gif")


def map_version(harness: Harness) -> str:
    (row,) = harness.ledger.read("SELECT version FROM products WHERE name = 'external.multiorder.fits'")
    return str(row["version"])


def test_fermis_own_map_replaces_the_position_when_it_appears(tmp_path: Path, server: Server, site: Site) -> None:
    harness = patient_harness(tmp_path, server, site)
    harness.notice(final_position(site))
    harness.settle(590)
    assert site.asked == []  # Fermi takes about ten minutes to publish its map
    assert "." not in map_version(harness)
    found = report(harness.ledger, harness.clock.now())
    assert not [line for line in found["wrong"] if "has waited" in line]  # this wait is not a problem to report
    harness.settle(60)
    assert site.asked
    assert "." not in map_version(harness)
    site.pages[OFFICIAL] = (200, b"a map", {})
    harness.settle(120)
    assert map_version(harness).endswith(".official")
    (event,) = harness.externals()
    assert "external.multiorder.fits,1" in harness.files(event["graceid"])
    assert harness.dead() == []
    harness.ledger.close()


def test_without_fermis_own_map_the_position_stays_and_one_line_says_so(
    tmp_path: Path, server: Server, site: Site
) -> None:
    harness = patient_harness(tmp_path, server, site)
    harness.notice(final_position(site))
    harness.settle(1800)
    assert 5 < len(site.asked) < 25
    (event,) = harness.externals()
    assert len([line for line in harness.logs(event["graceid"]) if "Gave up after" in line]) == 1
    assert "EXT_SKYMAP_READY" in event["labels"]
    assert "." not in map_version(harness)
    harness.ledger.close()
