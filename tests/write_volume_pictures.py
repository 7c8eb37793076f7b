"""Reference pictures of the test maps, drawn by ligo.skymap's own tool to compare ours with.

``python -m tests.write_volume_pictures [NAME …]`` takes some minutes for each map.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.skymaps import HARD, SIMULATED, simulated, write_hard

PICTURES = Path(__file__).parent / "data" / "volume"
DPI = 100
STEPS = 9  # HEALPix order from which the tool derives its steps; see `write_hard`


def main(names: list[str]) -> None:
    """Draw the maps of the given names, or all maps."""
    from ligo.skymap.tool.ligo_skymap_plot_volume import main as tool

    for name in names or (*SIMULATED, *HARD):
        with TemporaryDirectory() as folder:
            path = (
                simulated(name) if name in SIMULATED else write_hard(name, Path(folder) / "map.fits", least_order=STEPS)
            )
            before = os.times()
            tool([str(path), "-o", str(PICTURES / f"{name}.png"), "--dpi", str(DPI)])
            after = os.times()
            print(f"{name}: {after.user + after.system - before.user - before.system:.1f} CPU s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
