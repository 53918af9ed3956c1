"""How Sphinx makes the site of these pages: `make docs`."""

import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import lensmith  # noqa: E402

project = "Lensmith"
author = "the Lensmith authors"
release = version = lensmith.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["programs"]
myst_heading_anchors = 3
myst_links_external_new_tab = False
html_theme = "furo"
html_title = "Lensmith"
html_copy_source = False
html_show_copyright = html_show_sphinx = False
html_theme_options = {"source_repository": "", "navigation_with_keys": True}
suppress_warnings = ["config.cache"]
# Docstrings are sentences in which backticks mark code.
default_role = "literal"
autodoc_typehints = "description"
autodoc_member_order = "bysource"
PARAMETERS = re.compile(r"(\w+(?:, \w+)*): (?=\S)")


def as_fields(app: Any, what: str, name: str, thing: object, options: Any, lines: list[str]) -> None:
    """Make fields of the lines that begin with parameters, as `epochs, batch: passes ...`, and no markup of signs."""
    found: list[str] = []
    for line in lines:
        line = "`".join(part if n % 2 else re.sub(r"([*|])", r"\\\1", part) for n, part in enumerate(line.split("`")))
        field = PARAMETERS.match(line)
        if field:
            if found and found[-1] and not found[-1].startswith((":", " ")):
                found.append("")
            line = f":{field[1]}: {line[field.end():]}"
        elif line and not line.startswith(" ") and found and found[-1].startswith((":", " ")):
            found.append("")
        found.append(line)
    lines[:] = found


def setup(app: Any) -> None:
    """What Sphinx calls."""
    app.connect("autodoc-process-docstring", as_fields)
