"""The page in a browser: what its script computes of a value is the value, and nothing is wider than a phone."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lensmith.lessons.lesson import write_lesson
from lensmith.lessons.numpy_network import layer_times
from lensmith.lessons.numpy_network.lesson import numpy_lesson
from lensmith.lessons.numpy_network.measured import numpy_results

CHROMIUM = shutil.which("chromium")
# For each layer the largest difference between an output and what the page says it was computed from; what a tap on a
# cell says; the width of the page in a frame of 375 pixels.
LOOK = """<script>
const gaps = {};
for (const layer of Object.keys(LAYERS)) {
  const output = array(layer + ".output");
  for (let place = 0; place < output.values.length; place++) {
    const total = how(layer + ".output", position(output.shape, place), place).match(/<b>([^<]+)<\\/b>/);
    if (total) gaps[layer] = Math.max(gaps[layer] || 0, Math.abs(Number(total[1]) - output.values[place]));
  }
}
const canvas = document.querySelectorAll('figure[data-array="conv1.output"] canvas')[1];
const box = canvas.getBoundingClientRect();
canvas.dispatchEvent(new MouseEvent("click", { bubbles: true, clientX: box.left + 30, clientY: box.top + 30 }));
const look = JSON.stringify({ gaps, said: reading.textContent, width: document.documentElement.scrollWidth });
document.body.append(Object.assign(document.createElement("output"), { textContent: "LOOK" + look + "END" }));
</script></body>"""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")
def test_the_arithmetic_on_the_page_gives_the_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(layer_times, "_REPEATS", 1)
    monkeypatch.setattr(layer_times, "_SECONDS", 0.0)
    page = write_lesson(numpy_lesson(numpy_results("shapes", pictures=32, epochs=1)), tmp_path / "out")
    # A window of Chromium is at least 500 pixels wide, a frame in it as narrow as a phone.
    inner = html.escape(page.read_text().replace("</body>", LOOK))
    frame = tmp_path / "frame.html"
    frame.write_text(f"""<iframe style="width: 375px; height: 900px; border: 0" srcdoc="{inner}"></iframe><script>
        addEventListener("load", () => {{
          const look = document.querySelector("iframe").contentDocument.querySelector("body > output");
          document.body.textContent = look ? look.textContent : "nothing"; }});</script>""")
    assert CHROMIUM is not None
    found = subprocess.run([CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=600,900",
                            f"--user-data-dir={tmp_path}/chrome", "--dump-dom", frame.as_uri()], capture_output=True,
                           text=True, timeout=300, check=True).stdout
    text = re.findall(r"LOOK(\{.*\})END", found)
    assert text, found[-2000:]
    look = json.loads(text[-1].replace("&amp;", "&"))
    assert set(look["gaps"]) == {"conv1", "conv2", "dense1", "dense2", "dense3"}
    assert max(look["gaps"].values()) < 2e-4, look["gaps"]
    assert re.match(r"conv1\.output \[1, \d+, \d+\] = ", look["said"]) and "weight of filter 1" in look["said"]
    assert look["width"] <= 375
