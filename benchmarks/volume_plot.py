"""Cost of the volume plot and of ligo.skymap's tool: ``python benchmarks/volume_plot.py [--tool …] [--json]``.

All are measured in one run. The floor is the cost of importing NumPy and Matplotlib. For the floor and for our plot,
the cheapest of three runs counts.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from cost import cost, least_cost  # noqa: E402

from tests.skymaps import HARD, SIMULATED, simulated  # noqa: E402

TOOL = "from ligo.skymap.tool.ligo_skymap_plot_volume import main; import sys; main(sys.argv[1:])"
WRITE = "import sys, pathlib, tests.skymaps as maps; maps.write_hard(sys.argv[1], pathlib.Path(sys.argv[2]))"
FLOOR = "import numpy, matplotlib.figure, matplotlib.backends.backend_agg"  # what every picture needs
CHEAPEST = "nsbh_hl"


def measure(name: str, folder: Path, *, with_tool: bool) -> dict[str, Any]:
    """Draw one map at 100 dpi, at 200 dpi and, if wanted, with the tool at 100 dpi; return the costs."""
    path = simulated(name) if name in SIMULATED else folder / f"{name}.fits"
    if name in HARD:  # in a child: the peak memory of later children is never below our own
        subprocess.run([sys.executable, "-c", WRITE, name, str(path)], check=True, cwd=ROOT)
    row: dict[str, Any] = {"map": name, "floor_s": least_cost(["-c", FLOOR]).cpu}
    for dpi in (100, 200):
        output = str(folder / "ours.png")
        ours = least_cost(["-m", "gwbatch", "job", "plot-volume", str(path), "--dpi", str(dpi), "-o", output])
        row |= {f"cpu_{dpi}_s": ours.cpu, f"memory_{dpi}_mb": ours.memory}
    if with_tool:
        tool = cost(["-c", TOOL, str(path), "--annotate", "--dpi", "100", "-o", str(folder / "tool.png")])
        row |= {"tool_cpu_s": tool.cpu, "tool_memory_mb": tool.memory, "ratio": tool.cpu / row["cpu_100_s"]}
    return row


def main() -> None:
    """Print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    choices = {"one": (CHEAPEST,), "simulated": SIMULATED, "all": (*SIMULATED, *HARD)}
    words = "maps that the tool draws, too: its quickest one (default), the simulated events, or all (many minutes)"
    parser.add_argument("--tool", choices=choices, default="one", help=words)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    with TemporaryDirectory() as folder:
        rows = [
            measure(name, Path(folder), with_tool=name in choices[chosen.tool]) for name in (*SIMULATED, *HARD)
        ]  # fmt: skip
    if chosen.json:
        print(json.dumps(rows))
        return
    print(f"{'map':14} {'floor':>7} {'100 dpi':>14} {'200 dpi':>14} {'tool, 100 dpi':>16} {'tool / ours':>12}")
    for row in rows:
        ours = [f"{row[f'cpu_{dpi}_s']:.2f} s {row[f'memory_{dpi}_mb']:.0f} MB" for dpi in (100, 200)]
        tool = f"{row['tool_cpu_s']:.1f} s {row['tool_memory_mb']:.0f} MB" if "ratio" in row else "-"
        ratio = f"{row['ratio']:.0f}" if "ratio" in row else "-"
        print(f"{row['map']:14} {row['floor_s']:5.2f} s {ours[0]:>14} {ours[1]:>14} {tool:>16} {ratio:>12}")


if __name__ == "__main__":
    main()
