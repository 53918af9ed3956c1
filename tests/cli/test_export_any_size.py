"""`export --any-size` and `--to openvino` from the command line, and their files in the place of a run."""

import json
from pathlib import Path

import pytest
from PIL import Image

SLOW = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture
def larger(photos: Path, tmp_path: Path) -> Path:
    """The photos as files of 70 x 50 pixels."""
    folder = tmp_path / "larger"
    for path in photos.rglob("*.png"):
        place = folder / path.parent.name / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).resize((70, 50), Image.Resampling.BICUBIC).save(place)
    return folder


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("to", ["onnx", "openvino"])
def test_a_file_for_pictures_of_any_size_is_used_like_its_run(to: str, trained: Path, larger: Path, tmp_path: Path,
                                                              command):
    file = tmp_path / {"onnx": "any.onnx", "openvino": "any.xml"}[to]
    ended = command("export", trained, "--to", to, "--any-size", "--out", file, "--data", larger)
    assert ended.code == 0, ended.err
    runtimes = {"onnx": ["onnxruntime", "openvino"], "openvino": ["openvino"]}[to]
    for runtime in runtimes:
        assert f"  {runtime} pictures: 100.00 % of the pixels within one grey level of the run's, at most" in ended.out
    report = json.loads((tmp_path / "export.json").read_text())
    assert report["agrees"] and report["size"] == "any" and report["facts"]["fits_inside"] is True
    for runtime in runtimes:
        assert report["fitting"][runtime]["within_one_level"] >= 0.999
        assert report["runtimes"][runtime]["label"]["agreement"] == 1

    by_run = json.loads(command("predict", trained, larger, "--json").out)
    by_file = json.loads(command("predict", file, larger, "--json").out)
    assert [one["file"] for one in by_file] == [one["file"] for one in by_run]
    for ours, theirs in zip(by_run, by_file, strict=True):
        assert ours["scores"] == pytest.approx(theirs["scores"], abs=0.02)    # a grey level changes the third digit
    expected = json.loads(command("val", trained, "--data", larger, "--json").out)
    measured = json.loads(command("val", file, "--data", larger, "--json").out)
    assert measured["count"] == 60 and measured["accuracy_top1"] == pytest.approx(expected["accuracy_top1"], abs=0.02)
    lines = command("inspect", file).out.splitlines()
    assert lines[1] == ("  takes pictures: uint8 [1, 3, height, width] of any size; brought to 20 x 20 inside by "
                        "crop, bilinear")
    ended = command("predict", file, larger, "--tiles", "1")
    assert ended.code == 2 and "export the run without export.any_size (--any-size)" in ended.err
    if to == "openvino":
        ended = command("predict", file, larger, "--runtime", "onnxruntime")
        assert ended.code == 2 and "opens no .xml file: accepted are auto and openvino" in ended.err
        file.with_suffix(".bin").unlink()
        ended = command("predict", file, larger)
        assert ended.code == 4 and "lacks its weights: any.bin has to lie beside it" in ended.err
        file.write_text("<net>")
        file.with_suffix(".bin").write_bytes(b"")
        ended = command("predict", file, larger)
        assert ended.code == 4 and ended.err.count("\n") == 1
        assert "is no network of OpenVINO, or is damaged" in ended.err


def test_names_that_are_not_known_or_not_ours_are_one_line(trained: Path, tmp_path: Path, command):
    ended = command("export", trained, "--to", "openvin")
    assert ended.code == 2 and "unknown export.to (--to) 'openvin'. Did you mean 'openvino'?" in ended.err
    ended = command("export", trained, "--to", "openvino", "--out", tmp_path / "model.onnx")
    assert ended.code == 2 and f"has to end in .xml, by which programs know such a file: {tmp_path / 'model.xml'}" in \
        ended.err
    others = tmp_path / "mine.onnx"
    others.write_bytes(b"a file of mine")
    ended = command("export", trained, "--out", others)
    assert ended.code == 2 and "was not written by lensmith export and is not written over" in ended.err
    assert others.read_bytes() == b"a file of mine" and list(tmp_path.glob("*")) == [others]
