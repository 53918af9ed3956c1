"""`lensmith compress RUN --int8`: one table of what INT8 and pruning cost and gain, alone and together."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from lensmith.training import measured_rows
from tests.conftest import Command

pytest.importorskip("onnxruntime")
WRITE = measured_rows._file    # before a fixture replaces it


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lensmith.training.measured_rows._SECONDS", 0.1)
    monkeypatch.setattr("lensmith.training.quantised._SECONDS", 0.1)


def check_table(content: dict, names: list[str], folder: Path) -> dict[str, dict]:
    """What holds of every table; -> its rows by name."""
    rows = {row["name"]: row for row in content["rows"]}
    assert list(rows) == names and content["split"] == "test" and content["score"] == "accuracy_top1"
    first = rows["original"]
    for name, row in rows.items():
        assert row["interval"][0] <= row["score"] <= row["interval"][1] and row["file"] > 0
        assert row["latency"]["onnxruntime"]["p50"] > 0 and row["memory_in"]["onnxruntime"] > 0
        assert ("torch" in row["latency"]) == (row["memory"] is not None) == (name in ("original", "pruned"))
        if row is not first:
            assert row["difference"]["value"] == pytest.approx(row["score"] - first["score"])
            assert row["outputs_differ"] > 0 and row["file"] < first["file"]
    page = (folder / "report.html").read_text()
    assert all(f'<td class="text">{name}</td>' in page for name in names)
    return rows


@pytest.mark.slow
def test_alone_it_is_a_file_in_the_run_folder_and_its_table(run: Path, command: Command, tmp_path: Path):
    own = tmp_path / "own"
    shutil.copytree(run, own)
    ended = command("compress", own, "--int8", "--lose", 0.5, "--calibration", 40, "--json", "--quiet")
    assert ended.code == 0, ended.err
    content = json.loads((own / "compress.json").read_text())
    rows = check_table(content, ["original", "INT8"], own)
    assert json.loads(ended.out) == content | {"run": str(own), "file": str(own / "model-int8.onnx")}
    assert rows["INT8"]["file"] == (own / "model-int8.onnx").stat().st_size
    for entry in ("parameters", "multiply_adds"):
        assert rows["INT8"][entry] == rows["original"][entry]
    assert content["int8"]["INT8"]["calibration"] == 40 and content["asked"] == {"lose": 0.5}
    weights = {tensor.data_type for tensor in onnx.load(own / "model-int8.onnx").graph.initializer
               if np.prod(tensor.dims) > 100}
    assert weights == {onnx.TensorProto.INT8}


@pytest.mark.slow
def test_with_pruning_the_table_has_both_and_each_alone(run: Path, command: Command, tmp_path: Path):
    before = sorted(path.name for path in run.iterdir())
    ended = command("compress", run, "--macs", 0.6, "--int8", "--lose", 0.9, "--name", "small", "--runs", tmp_path,
                    "--quiet")
    assert ended.code == 0, ended.err
    small = tmp_path / "small"
    rows = check_table(json.loads((small / "compress.json").read_text()), ["original", "pruned", "INT8", "both"], small)
    assert sorted(path.name for path in run.iterdir()) == before    # the original's file is there for the table alone
    assert rows["both"]["place"] == str(small / "model-int8.onnx") and not Path(rows["INT8"]["place"]).exists()
    assert rows["both"]["file"] < min(rows["pruned"]["file"], rows["INT8"]["file"])
    assert rows["both"]["multiply_adds"] == rows["pruned"]["multiply_adds"] < rows["INT8"]["multiply_adds"]
    assert f"file   {small / 'model-int8.onnx'}" in ended.out and re.search("\nboth +onnxruntime", ended.out)


@pytest.mark.slow
def test_of_a_pruned_run_the_table_begins_with_the_original(run: Path, pruned: Path, command: Command, tmp_path: Path,
                                                            monkeypatch: pytest.MonkeyPatch):
    own = tmp_path / "own"
    shutil.copytree(pruned, own)
    monkeypatch.setattr("lensmith.training.measured_rows._file", WRITE)    # files are written again
    before = json.loads((own / "compress.json").read_text())
    ended = command("compress", own, "--int8", "--lose", 0.9, "--quiet")
    assert ended.code == 0, ended.err
    content = json.loads((own / "compress.json").read_text())
    rows = check_table(content, ["original", "pruned", "both"], own)
    assert {key: content[key] for key in ("of", "by", "reached", "layers")} == \
        {key: before[key] for key in ("of", "by", "reached", "layers")}
    assert rows["pruned"]["score"] == before["rows"][1]["score"]
    (own / "compress.json").write_text(json.dumps(before | {"of": str(tmp_path / "gone")}))
    ended = command("compress", own, "--int8", "--quiet")
    ended.refused("was cut from", "there is no run folder", f"`lensmith export {own} --int8` writes", code=4)


@pytest.mark.slow
def test_what_loses_more_than_asked_ends_with_5_and_is_called_so(run: Path, command: Command, tmp_path: Path,
                                                                 monkeypatch: pytest.MonkeyPatch):
    from lensmith.ship.compress.paired import Difference

    own = tmp_path / "own"
    shutil.copytree(run, own)
    monkeypatch.setattr("lensmith.training.quantised.difference", lambda ours, other: Difference(-0.25))
    ended = command("compress", own, "--int8", "--quiet")
    ended.refused("model-int8.onnx loses more of the score by INT8 than 0.01", "compress.lose (--lose)", code=5)
    assert "INT8: it loses 0.2500 in onnxruntime on " in ended.out


@pytest.mark.parametrize(("arguments", "text"), [
    (("--calibration", 9, "--macs", 0.5), "export.calibration (--calibration) is of a file in INT8: add --int8"),
    (("--int8", "--epochs", 2), "compress.int8 (--int8) alone trains nothing and writes into the run folder"),
    (("--int8", "optimizer.rate=0.1"), "compress.int8 (--int8) alone trains nothing"),
    (("--int8", "--lose", 1.5), "must lie in 0 <= lose < 1"),
    (("--int8", "--calibration", 2), "export.calibration=2 (--calibration) is fewer pictures than there are classes"),
    (("--int8", "--macs", 0.5, "--calibration", 2), "is fewer pictures than there are classes"),
])
def test_what_cannot_be_is_refused_before_anything_is_trained(arguments: tuple[object, ...], text: str, run: Path,
                                                              command: Command):
    before = sorted(run.parent.iterdir()), sorted(run.iterdir())
    command("compress", run, *arguments, "--quiet").refused(text)
    assert (sorted(run.parent.iterdir()), sorted(run.iterdir())) == before


def test_a_missing_package_and_missing_data_are_one_line(run: Path, command: Command, monkeypatch: pytest.MonkeyPatch):
    command("compress", "imagenet", "--int8").refused("imagenet has no data of its own to calibrate and to measure on",
                                                      "`lensmith export imagenet --int8 --data DIR`")
    monkeypatch.setattr("lensmith.ship.runtimes.packages.is_installed", lambda package: package != "onnxruntime")
    for words in (("--int8",), ("--int8", "--macs", 0.5)):
        command("compress", run, *words, "-q").refused("this needs onnxruntime, which is not installed: pip install")
