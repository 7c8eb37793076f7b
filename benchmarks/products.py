"""Cost of all products made from a superevent's sky map: ``python benchmarks/products.py [--json] [--picture]``.

``--picture FILE`` draws the CPU seconds of each as bars.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]

from cost import cost  # noqa: E402

from gwbatch.annotation import Scope, makeable  # noqa: E402
from gwbatch.annotation.graph import MAP  # noqa: E402
from gwbatch.config.policy import load_policy  # noqa: E402
from tests.skymaps import SIMULATED, simulated  # noqa: E402

FACTS = {"has_distances": True, "has_coherence": True}
OF_THE_MAP = list(makeable(Scope.SUPEREVENT, {MAP: FACTS}, MAP, load_policy().annotation))


def measure(name: str, folder: Path) -> list[dict[str, Any]]:
    """Make every product of one map, and return what each costs."""
    rows = []
    for product in OF_THE_MAP:
        output = folder / product.name
        spent = cost(["-m", "gwbatch", "job", product.job, str(simulated(name)), "-o", str(output)])
        size = output.stat().st_size / 1e6
        rows.append({"map": name, "product": product.name, "cpu_s": spent.cpu, "memory_mb": spent.memory, "mb": size})
    return rows


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw stacked bars, one for each map."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 2.5), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    colours = ("#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00")  # Okabe and Ito's palette for the colour-blind
    for number, product in enumerate(product.name for product in OF_THE_MAP):
        values = [row["cpu_s"] for row in rows if row["product"] == product]
        starts = range(0, len(rows), len(OF_THE_MAP))
        left = [sum(row["cpu_s"] for row in rows[start : start + number]) for start in starts]
        axes.barh(SIMULATED, values, 0.6, left, color=colours[number], label=product)
    axes.set_xlabel("CPU s")
    figure.legend(loc="outside right upper", fontsize=8)
    figure.savefig(path)


def main() -> None:
    """Print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--picture", type=Path, metavar="FILE")
    chosen = parser.parse_args()
    with TemporaryDirectory() as folder:
        rows = [row for name in SIMULATED for row in measure(name, Path(folder))]
    if chosen.picture is not None:
        draw(rows, chosen.picture)
    if chosen.json:
        print(json.dumps(rows))
        return
    print(f"{'map':10} {'product':26} {'CPU s':>7} {'memory MB':>10} {'size MB':>8}")
    for name in SIMULATED:
        of_map = [row for row in rows if row["map"] == name]
        for row in of_map:
            print(f"{name:10} {row['product']:26} {row['cpu_s']:7.2f} {row['memory_mb']:10.0f} {row['mb']:8.2f}")
        print(f"{name:10} {'all':26} {sum(row['cpu_s'] for row in of_map):7.2f}")


if __name__ == "__main__":
    main()
