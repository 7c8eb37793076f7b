"""Handlers as users write them, the registry, and decoding."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gwbatch import effects, igwn_alert
from gwbatch.errors import BadInput, ConfigError
from gwbatch.handlers import every
from gwbatch.handlers.decoding import decode
from gwbatch.handlers.registry import Registry
from tests.declared import declaring

SEED_EXAMPLES = """
import lxml.etree
from gwbatch import gcn, lvalert            # igwn_alert is the same object as lvalert

@gcn.handler(gcn.NoticeType.FERMI_GBM_GND_POS, gcn.NoticeType.FERMI_GBM_FIN_POS)
def handle_fermi(payload):                  # payload: bytes of the VOEvent
    root = lxml.etree.fromstring(payload)

@lvalert.handler('cbc_gstlal', 'cbc_spiir', 'cbc_pycbc', 'cbc_mbtaonline')
def handle_cbc(alert):                      # alert: dict with uid, alert_type, object, data
    ...
"""


@pytest.fixture
def registry() -> Iterator[Registry]:
    with declaring() as found:
        yield found


def test_the_seed_examples_run_verbatim(registry: Registry) -> None:
    namespace: dict[str, Any] = {"__name__": "seed"}
    exec(SEED_EXAMPLES, namespace)
    fermi, cbc = registry.handlers()
    assert fermi.topics == {"gcn.classic.voevent.FERMI_GBM_GND_POS", "gcn.classic.voevent.FERMI_GBM_FIN_POS"}
    assert cbc.topics == {"cbc_gstlal", "cbc_spiir", "cbc_pycbc", "cbc_mbtaonline"}
    assert fermi.lane == cbc.lane == "general"
    assert fermi(b"<VOEvent/>", None) == []
    assert cbc({"uid": "G1"}, None) == []
    assert namespace["lvalert"] is igwn_alert


@pytest.mark.parametrize("key", [112, "FERMI_GBM_GND_POS", "gcn.classic.voevent.FERMI_GBM_GND_POS"])
def test_notice_types_by_number_name_or_topic(registry: Registry, key: Any) -> None:
    from gwbatch import gcn

    gcn.handler(key, queue="exttrig")(lambda payload: None)
    assert registry.lanes_for("gcn.classic.voevent.FERMI_GBM_GND_POS") == ["exttrig"]


def test_handlers_return_or_yield_effects_and_nothing_else(registry: Registry) -> None:
    @igwn_alert.handler("cbc_gstlal")
    def yields(alert: Any) -> Iterator[effects.Effect]:
        yield effects.label("G1", "EM_READY")

    @igwn_alert.handler("cbc_gstlal")
    def returns_nonsense(alert: Any) -> list[Any]:
        return ["EM_READY"]

    good, bad = registry.for_topic("cbc_gstlal")
    assert [effect.key for effect in good({}, None)] == ["G1/label/EM_READY"]
    with pytest.raises(TypeError, match="returns effects"):
        bad({}, None)


def test_a_search_topic_nobody_asked_for_is_its_pipelines(registry: Registry) -> None:
    igwn_alert.handler("cbc_gstlal", queue="superevent")(lambda alert: None)
    assert registry.lanes_for("cbc_gstlal_allsky") == ["superevent"]
    assert registry.lanes_for("cbc_mbta") == []


def test_mistakes_in_decorators_are_told_at_once(registry: Registry) -> None:
    with pytest.raises(ConfigError, match="superevent, exttrig, general"):
        igwn_alert.handler("cbc_gstlal", queue="superevents")(lambda alert: None)
    with pytest.raises(TypeError):
        igwn_alert.handler()
    with pytest.raises(ValueError):
        every(0)


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"{", "is not JSON"),
        (b"\xff\xfe\x00", "is not JSON"),
        (b"", "is not JSON"),
        (b"[]", "not an object"),
        (b"[" * 100_000, "nested too deeply"),
        (b'"no json inside"', "is not JSON"),
    ],
)
def test_what_is_not_an_alert_is_bad_input(payload: bytes, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        decode("cbc_gstlal", payload)


def test_a_json_string_that_holds_json_and_a_plain_object_are_the_same() -> None:
    assert decode("cbc_gstlal", b'"{\\"uid\\": \\"G1\\"}"') == decode("cbc_gstlal", b'{"uid": "G1"}') == {"uid": "G1"}


def voevent(packet_type: int) -> bytes:
    return b'<VOEvent><What><Param name="Packet_Type" value="%d"/></What></VOEvent>' % packet_type


def test_a_voevent_reaches_its_handler_as_bytes_when_it_is_of_its_topics_type() -> None:
    assert decode("gcn.classic.voevent.SNEWS", voevent(149)) == voevent(149)
    assert decode("gcn.notices.svom.voevent.eclairs", b"<x/>") == b"<x/>"
    with pytest.raises(BadInput, match=r"type FERMI_GBM_ALERT on the topic gcn.classic.voevent.SNEWS"):
        decode("gcn.classic.voevent.SNEWS", voevent(110))


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"<VOEvent>",
        b"\xff\xfe\x00",
        b'<!DOCTYPE v [<!ENTITY a "x">]><v>&a;</v>',
        b'<!DOCTYPE v [<!ENTITY a SYSTEM "file:///etc/passwd">]><v>&a;</v>',
        b"<v>" * 100_000,
    ],
)
def test_hostile_xml_is_bad_input(document: bytes) -> None:
    with pytest.raises(BadInput):
        decode("gcn.classic.voevent.SNEWS", document)


def test_the_dispatcher_imports_every_computation_before_its_threads_run(tmp_path: Path) -> None:
    """Concurrent imports in two threads can fail, and the alert would become a dead letter."""
    program = (
        "import sys, threading\n"
        "from pathlib import Path\n"
        "from gwbatch.config.policy import load_policy\n"
        "from gwbatch.config.profile import load_site\n"
        "from gwbatch.dispatcher.service import Dispatcher\n"
        "from gwbatch.handlers.registry import Registry\n"
        "from gwbatch.jobs import catalogue\n"
        "from gwbatch.ledger import Ledger\n"
        "state, profile = Path(sys.argv[1]), load_site('local').profile\n"
        "ledger = Ledger(state / 'ledger.sqlite', create=True)\n"
        "Dispatcher(ledger, Registry(), load_policy(), profile, lambda: None, state, {})\n"
        "assert threading.active_count() == 1\n"
        "print(*catalogue._CATALOGUE)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {"localize", "combine-skymaps", "plot-volume-exact", "plot-p-astro"} <= set(done.stdout.split())


def test_a_node_imports_the_computation_that_it_needs_and_no_other() -> None:
    program = (
        "import sys\n"
        "from gwbatch.jobs import catalogue\n"
        "ours = lambda: {name for name in sys.modules if name.startswith('gwbatch.jobs.')}\n"
        "before = ours()\n"
        "assert catalogue.computation('fits-header').function.__module__ == 'gwbatch.jobs.fits_header'\n"
        "assert ours() - before <= {'gwbatch.jobs.fits_header', 'gwbatch.jobs.fits_file'}, ours() - before\n"
        "every = {name: one.function.__module__ for name, one in catalogue.computations().items()}\n"
        "assert every == {name: f'gwbatch.jobs.{module}' for name, module in catalogue._BUILTIN.items()}\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
