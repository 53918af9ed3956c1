"""What lessons are tested with: a browser that opens a page, and a script that looks at it and moves what is on it."""

import html
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lensmith.training.begin_or_resume import begin_session

Look = Callable[..., Any]


@pytest.fixture(scope="session")
def run_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """run_of(backbone): the folder of a run of one epoch on drawn shapes."""
    def made(backbone: str) -> Path:
        session = begin_session({"data": {"name": "shapes", "count": 60}, "backbone": {"name": backbone},
                                 "task": {"name": "classification"}, "learner": {"epochs": 1},
                                 "plan": {"mode": "exact", "device": "cpu"}}, runs=tmp_path_factory.mktemp("runs"))
        assert [report for report in session if report.row is not None]
        return session.run.folder

    return made


@pytest.fixture
def look(tmp_path: Path) -> Look:
    """look(page, script, width=1280): what `script` returns in a browser that has opened the page from its file, in a
    frame of this width, since a window has 500 pixels at least. Fails where the page has complained on the console,
    and skips where there is no Chromium."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

    def looked(page: Path, script: str, width: int = 1280) -> Any:
        if browser is None:
            pytest.skip("no chromium or google-chrome on this machine")
        copy, frame = tmp_path / "looked-at.html", tmp_path / "frame.html"
        copy.write_text(page.read_text().replace("</body>", f"""<script>
parent.postMessage(JSON.stringify((() => {{ {script} }})()), "*");
</script></body>"""))
        frame.write_text(f"""<!doctype html><link rel="icon" href="data:,"><pre id="looked"></pre><script>
addEventListener("message", (event) => {{ document.getElementById("looked").textContent = event.data; }});
</script><iframe src="{copy.as_uri()}" style="width:{width}px;height:2000px;border:0"></iframe>""")
        ran = subprocess.run(
            [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
             "--hide-scrollbars", "--disable-sync", "--disable-background-networking", "--disable-component-update",
             f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr", "--window-size=1400,2200",
             "--virtual-time-budget=5000", "--dump-dom", frame.as_uri()],
            capture_output=True, text=True, timeout=300, check=True)
        complaints = [line for line in ran.stderr.splitlines() if "CONSOLE" in line]
        assert not complaints, complaints
        found = re.search(r'<pre id="looked">(.*?)</pre>', ran.stdout, re.DOTALL)
        assert found is not None, ran.stdout[-500:]
        return json.loads(html.unescape(found[1]))

    return looked
