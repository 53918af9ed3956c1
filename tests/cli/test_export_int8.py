"""`lensmith export RUN --int8`: a file like any other, what is said of it, the search, and what is refused."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lensmith.training.trained import load

pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def file(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained run in INT8, written by the command in a process of its own."""
    path = tmp_path_factory.mktemp("quantised") / "small.onnx"
    done = subprocess.run([sys.executable, "-m", "lensmith", "export", str(trained), "--int8", "--lose", "0.05",
                           "--out", str(path)], capture_output=True, text=True, check=True)
    path.with_suffix(".txt").write_text(done.stdout)
    return path


@pytest.mark.slow
def test_what_it_cost_and_gained_is_said(file: Path):
    lines = file.with_suffix(".txt").read_text().splitlines()
    assert lines[0].startswith(f"file {file}  ")
    assert re.fullmatch(r"  [\d.]+ times smaller than in float32; 0 of 5 layers stay in float32; calibrated on 200 "
                        "pictures", lines[1])
    for line, runtime in zip(lines[2:4], ("onnxruntime", "openvino"), strict=True):
        assert re.fullmatch(rf"  {runtime}: accuracy_top1 [\d.]+, in float32 [\d.]+: [+-][\d.]+ \([+-][\d.]+ to "
                            r"[+-][\d.]+\) on [\d,]+ pictures \(valid\)", line), line
    for line, runtime in zip(lines[4:6], ("onnxruntime", "openvino"), strict=True):
        assert re.fullmatch(rf"  {runtime}: [\d.]+ ms a picture, ([\d.]+ times as fast as in float32|SLOWER than in "
                            r"float32, [\d.]+ ms)", line), line
    assert len(lines) == 8 and "% of the answers the same" in lines[6]


@pytest.mark.slow
def test_its_report_has_the_numbers(file: Path):
    report = json.loads((file.parent / "export-int8.json").read_text())
    facts = report["int8"]
    assert report["agrees"] and report["precision"] == "int8" and report["bytes"] == file.stat().st_size
    assert facts["calibration"] == 200 and facts["layers"] == 5 and facts["float32_layers"] == []
    assert facts["bytes_float32"] > 2 * report["bytes"]
    score = facts["score"]
    assert score["split"] == "valid" and score["name"] == "accuracy_top1" and score["lose"] == 0.05
    assert score["int8"] - score["float32"] == pytest.approx(score["difference"]["onnxruntime"]["value"])
    for runtime in ("onnxruntime", "openvino"):
        assert report["runtimes"][runtime]["label"]["agreement"] > 0.9
        assert facts["latency"][runtime]["int8"]["p50"] > 0
    assert sorted(path.name for path in file.parent.iterdir()) == ["export-int8.json", "small.onnx", "small.txt"]


@pytest.mark.slow
def test_it_is_used_as_any_file(file: Path, trained: Path, photos: Path, command):
    by_run = json.loads(command("val", trained, "--data", photos, "--json").out)
    for runtime in ("onnxruntime", "openvino"):
        measured = json.loads(command("val", file, "--data", photos, "--json", "--runtime", runtime).out)
        assert measured["accuracy_top1"] == pytest.approx(by_run["accuracy_top1"], abs=0.07)
    predicted = json.loads(command("predict", file, photos, "--json").out)
    assert len(predicted) == 60 and all(abs(sum(one["scores"].values()) - 1) < 0.02 for one in predicted)
    assert command("inspect", file).code == 0


@pytest.mark.slow
def test_layers_that_cost_most_stay_in_float32_until_it_holds(trained: Path, tmp_path: Path,
                                                              monkeypatch: pytest.MonkeyPatch):
    from lensmith.ship.compress.paired import Difference
    from lensmith.training import quantised

    lost = iter([-0.2, -0.1, 0.0, 0.0])    # all layers, without one, without two; then OpenVINO
    monkeypatch.setattr(quantised, "difference", lambda ours, other: Difference(next(lost)))
    told: list[str] = []
    exported = quantised.export_int8(load(trained, device="cpu"), quantised.Int8Settings(), out=tmp_path / "m.onnx",
                                     tell=told.append)
    facts = exported.report["int8"]
    assert [one["float32_layers"] for one in facts["tries"]] == [0, 1, 2] and len(facts["float32_layers"]) == 2
    assert exported.agrees and "INT8 loses 0.2000 of accuracy_top1: what each of 5 layers costs is measured" in told
    assert any("with 1 layer in float32 (" in line and "it loses 0.1000" in line for line in told)


@pytest.mark.slow
def test_a_file_that_loses_too_much_ends_with_5(trained: Path, tmp_path: Path, command,
                                                monkeypatch: pytest.MonkeyPatch):
    from lensmith.ship.compress.paired import Difference

    monkeypatch.setattr("lensmith.training.quantised.difference", lambda ours, other: Difference(-0.2))
    ended = command("export", trained, "--int8", "--out", tmp_path / "m.onnx")
    assert ended.code == 5 and "m.onnx loses more of the score than 0.01" in ended.err
    assert not json.loads((tmp_path / "export-int8.json").read_text())["agrees"]


@pytest.mark.parametrize(("arguments", "code", "text"), [
    (["--int8", "--calibration", "2"], 2, "export.calibration=2 (--calibration) is fewer pictures than there are "
                                          "classes (3), each of which has to be seen: give 3 or more"),
    (["--int8", "--calibration", "0"], 2, "must be 1 or more"),
    (["--int8", "--lose", "1.5"], 2, "must lie in 0 <= lose < 1"),
    (["--lose", "0.1"], 2, "is of a file in INT8: add --int8, or leave it out"),
    (["--calibration", "9"], 2, "is of a file in INT8: add --int8, or leave it out"),
])
def test_what_cannot_be_is_refused_in_one_line(trained: Path, tmp_path: Path, command, arguments, code, text):
    ended = command("export", trained, *arguments, "--out", tmp_path / "m.onnx", "--quiet")
    assert ended.code == code and len(ended.err.strip().splitlines()) == 1 and text in ended.err, ended.err
    assert not list(tmp_path.iterdir())


def test_a_run_without_data_is_not_calibrated_on_drawn_pictures(tmp_path: Path, command):
    ended = command("export", "imagenet", "--int8", "--out", tmp_path / "m.onnx", "--quiet")
    assert ended.code == 2 and ended.err.strip() == "lensmith: INT8 is calibrated on training pictures, and imagenet " \
        "has no data of its own: name some with export.data (--data)"


def test_a_missing_package_is_one_line_with_its_command(trained: Path, tmp_path: Path, command,
                                                        monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("lensmith.ship.runtimes.packages.is_installed", lambda package: package != "onnxruntime")
    ended = command("export", trained, "--int8", "--out", tmp_path / "m.onnx", "--quiet")
    assert ended.code == 2 and ended.err.strip() == 'lensmith: this needs onnxruntime, which is not installed: pip ' \
        'install "lensmith[deploy]"'
