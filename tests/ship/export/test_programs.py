"""The programs of the documentation that are not Python: each says of a picture what the network says of it."""

import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lensmith.base.pictures import bring
from lensmith.ship.export.onnx import write_onnx
from tests.ship.export.test_onnx import made

PROGRAMS = Path(__file__).parents[3] / "docs" / "programs"
WEB = ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")    # of onnxruntime-web
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[str, float]]]:
    """A folder with model.onnx, export.json and a picture, and the probabilities that the network gives this one."""
    folder = tmp_path_factory.mktemp("site")
    network, kind, facts = made("lenet", 20, "classification")
    facts = write_onnx(network, kind, replace(facts, fits_inside=True), folder / "model.onnx")
    (folder / "export.json").write_text(json.dumps({"facts": json.loads(facts.as_json())}))
    pixels = np.random.default_rng(0).integers(0, 256, (45, 60, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    image.save(folder / "picture.png")
    image.save(folder / "picture.ppm")
    with torch.inference_mode():
        scores = kind.decode(network(bring(image, facts.form)[0][None]))["label"].scores[0]    # type: ignore[attr-defined]
    return folder, list(zip(facts.targets["label"].classes, scores.tolist(), strict=True))


def check_lines(lines: list[str], expected: list[tuple[str, float]]) -> None:
    assert [line.rsplit(" ", 1)[0] for line in lines] == [f"label {name}" for name, _ in expected]
    scores = [float(line.rsplit(" ", 1)[1]) for line in lines]
    assert scores == pytest.approx([score for _, score in expected], abs=0.01)


@pytest.mark.parametrize("name", ["answer.py", "answer.cpp", "index.html"])
def test_a_program_fits_a_page(name: str):
    assert len((PROGRAMS / name).read_text().splitlines()) <= 40


def test_the_program_in_python_takes_a_file_for_pictures_of_any_size(site: tuple[Path, list[tuple[str, float]]]):
    folder, expected = site
    done = subprocess.run([sys.executable, "-I", PROGRAMS / "answer.py", folder / "model.onnx", folder / "picture.png"],
                          capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.partition(" ")[2].replace("'", '"'))
    assert found == pytest.approx(dict(expected), abs=0.01)


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
def test_the_program_in_cpp(site: tuple[Path, list[tuple[str, float]]], tmp_path: Path):
    spec = find_spec("openvino")
    folder = Path(str(spec.origin)).parent if spec is not None else tmp_path
    libraries = [path for path in (folder / "libs").glob("libopenvino.so.*") if path.name.count(".") == 2]
    if not libraries or not (folder / "include" / "openvino" / "openvino.hpp").is_file():
        pytest.skip("the package openvino brings no headers and libraries here")
    libs = folder / "libs"
    subprocess.run(["g++", "-std=c++17", PROGRAMS / "answer.cpp", f"-I{folder / 'include'}", "-o", tmp_path / "answer",
                    libraries[0], f"-Wl,-rpath,{libs}", f"-Wl,-rpath-link,{libs}"], check=True)
    done = subprocess.run([tmp_path / "answer", site[0] / "model.onnx", site[0] / "picture.ppm"], capture_output=True,
                          text=True, check=True)
    check_lines(done.stdout.splitlines(), site[1])


@pytest.fixture
def served() -> Iterator[Callable[[Path], str]]:
    """Serves a folder on the loopback; -> its address."""
    servers = []

    def serve(folder: Path) -> str:
        class Quiet(SimpleHTTPRequestHandler):
            def log_message(self, *arguments: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def test_the_page_in_a_browser(site: tuple[Path, list[tuple[str, float]]], served: Callable[[Path], str],
                               tmp_path: Path):
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None or shutil.which("npm") is None:
        pytest.skip("needs npm and Chromium")
    installed = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", tmp_path,
                                "onnxruntime-web"], capture_output=True, text=True)
    if installed.returncode:
        pytest.skip("npm cannot install onnxruntime-web here")
    for name in WEB:
        shutil.copy(tmp_path / "node_modules" / "onnxruntime-web" / "dist" / name, site[0])
    shutil.copy(PROGRAMS / "index.html", site[0])
    done = subprocess.run([chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                           f"--user-data-dir={tmp_path / 'browser'}", "--virtual-time-budget=600000", "--dump-dom",
                           f"{served(site[0])}/index.html#picture.png"], capture_output=True, text=True, check=True)
    shown = re.search("<pre>(.*?)</pre>", done.stdout, re.DOTALL)
    assert shown is not None, done.stdout
    check_lines(shown[1].splitlines(), site[1])
