"""Screenshots for ``docs/console.md``, written by ``make screenshots``.

The script runs the demo with a console on its ledger, and takes the pictures while the dispatcher runs.  This takes
about four minutes.
"""

from __future__ import annotations

import io
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from gwbatch import children
from tests.integration.consoles import get, running_console

FOLDER = Path(__file__).parents[1] / "docs" / "screenshots"
PATIENCE = 900.0  # s
WIDE, PHONE = (1280, 800), (390, 844)
SHOTS: dict[str, tuple[str, tuple[int, int], str, bool]] = {
    "overview": ("", WIDE, "light", False),
    "overview-dark": ("", WIDE, "dark", False),
    "overview-phone": ("", PHONE, "light", False),
    "superevent": ("superevent/S%40G0001", WIDE, "light", True),
    "jobs": ("jobs?words=S1", WIDE, "light", False),
}
"""For each file name: page, window size, colour scheme, and whether to take the whole page."""


def wait(what: Callable[[], bool], demo: subprocess.Popen[bytes]) -> None:
    """Wait until a condition holds; exit if the demo ends first or it takes too long."""
    end = time.monotonic() + PATIENCE
    while not what():
        if demo.poll() is not None or time.monotonic() > end:
            raise SystemExit(
                "Cannot take the pictures: the demo ended, or took too long, before there was enough to see."
            )
        time.sleep(0.5)


def has_all_notices(address: str) -> bool:
    """Tell whether the significant superevent has reached its initial notice."""
    status, _, body = get(f"{address}/overview.json")
    cards = json.loads(body)["cards"] if status == 200 else []
    return any(notice["name"] == "initial" for card in cards for notice in card["notices"])


def take(browser: Any, address: str) -> None:
    """Take every picture."""
    FOLDER.mkdir(exist_ok=True)
    for name, (page, (width, height), scheme, whole) in SHOTS.items():
        opened = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
        opened.goto(f"{address}/#/{page}")
        opened.locator("main section").first.wait_for()
        opened.wait_for_timeout(1500)
        picture = Image.open(io.BytesIO(opened.screenshot(full_page=whole)))
        picture.convert("P", palette=Image.Palette.ADAPTIVE, colors=128).save(FOLDER / f"{name}.png", optimize=True)
        opened.close()
        print(FOLDER / f"{name}.png")


def main() -> None:
    """Run the demo and take the pictures."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("Cannot take the pictures: there is no Chromium here. Install Debian's package chromium.")
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "demo"
        demo = subprocess.Popen(children.python("gwbatch", "demo", "--state", str(state)), stdout=sys.stderr)
        try:
            wait(lambda: (state / "state" / "ledger.sqlite").exists(), demo)
            with running_console(state / "state") as address, sync_playwright() as playwright:
                wait(lambda: has_all_notices(address), demo)
                demo.send_signal(signal.SIGSTOP)  # suspends the demo, which would stop the dispatcher
                browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
                take(browser, address)
                browser.close()
        finally:
            demo.send_signal(signal.SIGCONT)
            demo.send_signal(signal.SIGINT)  # the demo stops the processes that it started
            demo.wait(60)


if __name__ == "__main__":
    main()
