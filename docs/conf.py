"""The documentation as a site: ``make docs``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gwbatch import __version__
from gwbatch.metrics import measured  # noqa: F401  declares the metrics
from gwbatch.metrics.declaring import METRICS

HERE = Path(__file__).parent

project = "gwbatch"
author = "The gwbatch developers"
release = version = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
html_theme = "furo"
html_title = f"gwbatch {__version__}"
html_static_path: list[str] = []
exclude_patterns = ["volume", "examples"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_numpy_docstring = True
napoleon_google_docstring = False
napoleon_use_ivar = True


def write_metrics(_app: Any) -> None:
    """The metrics, from their declarations."""
    lines = ["# Metrics", "", "What `gwbatch metrics` and the console's `/metrics` export, for Prometheus.", ""]
    lines += ["| metric | kind | unit | labels | meaning |", "|---|---|---|---|---|"]
    for one in METRICS.values():
        lines.append(f"| `{one.name}` | {one.kind} | {one.unit} | {', '.join(one.labels)} | {one.help} |")
    text = "\n".join(lines) + "\n"
    path = HERE / "reference" / "metrics.md"
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def setup(app: Any) -> None:
    """Generate what is generated."""
    app.connect("builder-inited", write_metrics)
