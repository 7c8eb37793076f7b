"""Sky maps that notices link to or bring along: fetched within limits, from trusted addresses, with patience."""

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
from gwbatch.dispatcher.linked_maps import decode_map, fetch_map
from gwbatch.errors import BadInput, TransientError
from tests.integration.rig import Rig, Server
from tests.notices import GUANO, guano

LIMIT = 1000


class Site(HTTPServer):
    """Answers with what `pages` says: status, body, headers."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Page)
        self.pages: dict[str, tuple[int, bytes, dict[str, str]]] = {}
        self.url = f"http://127.0.0.1:{self.server_port}/"


class Page(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        status, body, headers = self.server.pages.get(self.path, (404, b"", {}))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


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
    assert fetch_map(f"{site.url}map.fits", [site.url], LIMIT, patient=False) == b"a map"


def test_a_map_that_is_not_there_yet_is_waited_for_only_so_long(site: Site) -> None:
    with pytest.raises(TransientError, match="status 404"):
        fetch_map(f"{site.url}map.fits", [site.url], LIMIT, patient=True)
    with pytest.raises(BadInput, match="never came: status 404"):
        fetch_map(f"{site.url}map.fits", [site.url], LIMIT, patient=False)


@pytest.mark.parametrize("url", ["http://169.254.169.254/secret", "file:///etc/passwd", "https://gcn.nasa.gov.evil/x"])
def test_only_trusted_addresses_are_asked(url: str) -> None:
    with pytest.raises(BadInput, match="no address that the policy trusts"):
        fetch_map(url, load_policy().external.map_sources, LIMIT, patient=True)


def test_nobody_is_followed_elsewhere(site: Site) -> None:
    site.pages["/map.fits"] = (302, b"", {"Location": "http://127.0.0.1:1/secret"})
    with pytest.raises(BadInput, match="status 302"):
        fetch_map(f"{site.url}map.fits", [site.url], LIMIT, patient=False)


def test_a_map_without_end_is_cut_off(site: Site) -> None:
    site.pages["/map.fits"] = (200, b"x" * 200_000, {})
    with pytest.raises(BadInput, match="larger than 1000 bytes"):
        fetch_map(f"{site.url}map.fits", [site.url], LIMIT, patient=True)


@pytest.mark.parametrize("text", ["", "!!!", base64.b64encode(b"x" * 2000).decode()])
def test_a_map_inside_is_checked(text: str) -> None:
    with pytest.raises(BadInput):
        decode_map(text, LIMIT)


def patient_rig(tmp_path: Path, server: Server, site: Site) -> Rig:
    policy = load_policy()
    external = msgspec.structs.replace(policy.external, map_sources=[site.url], map_wait=600.0)
    return Rig(tmp_path / "state", server, msgspec.structs.replace(policy, external=external))


def linked(rig: Rig, url: str) -> None:
    rig.notice(json.dumps(guano(ra=10.0, dec=20.0, ra_dec_error=5.0, healpix_url=url)).encode(), GUANO)


def test_the_model_serves_until_the_observatorys_own_map_comes(tmp_path: Path, server: Server, site: Site) -> None:
    rig = patient_rig(tmp_path, server, site)
    linked(rig, f"{site.url}map.fits")
    rig.settle()
    (row,) = rig.ledger.read("SELECT version FROM products WHERE name = 'external.multiorder.fits'")
    assert not row["version"].endswith(".given")
    site.pages["/map.fits"] = (200, b"a map", {})
    rig.settle(120)
    (row,) = rig.ledger.read("SELECT version FROM products WHERE name = 'external.multiorder.fits'")
    assert row["version"].endswith(".given")
    (event,) = rig.externals()
    assert "external.multiorder.fits,1" in rig.files(event["graceid"])
    assert rig.dead() == []
    rig.ledger.close()


def test_a_map_that_never_comes_is_said_so_and_the_model_stays(tmp_path: Path, server: Server, site: Site) -> None:
    rig = patient_rig(tmp_path, server, site)
    linked(rig, f"{site.url}map.fits")
    rig.settle(1200)
    (event,) = rig.externals()
    assert any("never came" in comment for comment in rig.logs(event["graceid"]))
    assert "EXT_SKYMAP_READY" in event["labels"]
    rig.ledger.close()


def test_a_map_inside_the_notice_goes_to_the_job(rig: Rig) -> None:
    inside = base64.b64encode(b"SIMPLE").decode()
    rig.notice(json.dumps(guano(ra=None, dec=None, healpix_file=inside)).encode(), GUANO)
    rig.settle()
    (job,) = rig.ledger.read("SELECT directory FROM jobs WHERE kind = 'external-skymap'")
    assert (Path(job["directory"]) / "given.fits").read_bytes() == b"SIMPLE"
