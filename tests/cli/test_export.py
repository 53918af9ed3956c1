"""The verb `export`, and a file of it in the place of a run: the run's numbers, and what is refused in one line."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from torch import Tensor

from lensmith.base.errors import Disagreement
from lensmith.training.exported import held_out_pictures
from lensmith.training.trained import Trained

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def file(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained run as an ONNX file, written by the command in a process of its own."""
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    done = subprocess.run([sys.executable, "-m", "lensmith", "export", str(trained), "--to", "onnx", "--out",
                           str(path)], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"file {path}  ") and len(lines) == 3
    for line, runtime in zip(lines[1:], ("onnxruntime", "openvino"), strict=True):
        assert re.fullmatch(rf"  {runtime} label: 100.0 % of the answers the same, probabilities at most \S+ apart on "
                            r"100 pictures \(test\)", line)
    return path


def test_export_json_says_how_far_the_file_agrees(file: Path):
    report = json.loads((file.parent / "export.json").read_text())
    assert report["agrees"] and report["pictures"] == 100 and report["of"] == "test" and report["size"] == [20, 20]
    assert report["bytes"] == file.stat().st_size and len(report["fingerprint"]["weights"]) == 32
    assert set(report["runtimes"]) == {"onnxruntime", "openvino"}
    for found in report["runtimes"].values():
        assert found["label"]["largest_difference"] < 1e-4 and found["label"]["agreement"] == 1
    assert sorted(path.name for path in file.parent.iterdir()) == ["export.json", "model.onnx"]


def test_a_file_predicts_and_measures_as_its_run(file: Path, trained: Path, photos: Path, command):
    by_run = json.loads(command("predict", trained, photos, "--json").out)
    for runtime in ("onnxruntime", "openvino"):
        by_file = json.loads(command("predict", file, photos, "--json", "--runtime", runtime).out)
        assert [one["file"] for one in by_file] == [one["file"] for one in by_run]
        for ours, theirs in zip(by_run, by_file, strict=True):
            assert ours["label"] == theirs["label"]
            assert ours["scores"] == pytest.approx(theirs["scores"], abs=1e-4)
    expected = json.loads(command("val", trained, "--data", photos, "--json").out)
    measured = json.loads(command("val", file, "--data", photos, "--json").out)
    assert measured["accuracy_top1"] == expected["accuracy_top1"] and measured["count"] == 60
    assert "loss" not in measured    # a file has answers alone


def test_a_run_is_computed_by_another_runtime(trained: Path, photos: Path, command):
    by_torch = json.loads(command("predict", trained, photos, "--json").out)
    for runtime in ("onnxruntime", "auto"):
        ended = command("predict", trained, photos, "--json", "--runtime", runtime)
        for ours, theirs in zip(by_torch, json.loads(ended.out), strict=True):
            assert ours["label"] == theirs["label"] and ours["scores"] == pytest.approx(theirs["scores"], abs=1e-4)
    assert re.search(r"^runtime (torch|onnxruntime|openvino), .*\d threads? for \d+ pictures at once: (\w+ [\d.]+ ms"
                     r"(, )?){1,3} a picture( by CPU time, .+)?$", ended.err, re.MULTILINE)
    again = command("predict", trained, photos, "--json", "--runtime", "auto").err
    assert again == ended.err    # from the cache: the same digits


def test_val_records_what_computed(trained: Path, command):
    by_torch = json.loads(command("val", trained, "--json").out)
    assert "runtime" not in by_torch
    scores = json.loads(command("val", trained, "--runtime", "onnxruntime", "--json").out)
    assert scores["accuracy_top1"] == pytest.approx(by_torch["accuracy_top1"], abs=0.01)
    row, = scores["runtime"]
    assert (row["runtime"], row["precision"]) == ("onnxruntime", "float32") and row["threads"] >= 1
    scores = json.loads(command("val", trained, "--runtime", "auto", "--json").out)
    row = scores["runtime"][0]
    assert row["runtime"] in ("torch", "onnxruntime", "openvino") and row["pictures"] > 1
    assert {tried["runtime"] for tried in row["tried"]} == {"torch", "onnxruntime", "openvino"}
    assert sum(tried["verdict"] == "chosen" for tried in row["tried"]) == 1
    assert re.match(r"accuracy_top1", command("val", trained, "--runtime", "auto", "-q").out.split("  ")[1].strip())


def test_another_overlap_is_decided_by_the_run(trained: Path, photos: Path, command):
    ended = command("predict", trained, photos, "--runtime", "auto", "--iou", "0.3")
    assert ended.code == 2 and "predict.overlap" in ended.err    # a classifier finds no objects
    assert "runtime torch: --iou is decided by the run" in ended.err


def test_inspect_says_what_goes_in_and_out(file: Path, command):
    lines = command("inspect", file).out.splitlines()
    assert re.fullmatch(rf"{file}  task classification, [\d,]+ parameters, written by Lensmith \S+", lines[0])
    assert lines[1] == "  takes pictures: uint8 [batch, 3, 20, 20], of this size alone; brought by crop, bilinear"
    assert lines[2].startswith("  gives label: label of 3 classes (") and "Conv 2" in lines[3]
    assert json.loads(command("inspect", file, "--json").out)["outputs"] == {"label": ["label"]}


def test_the_program_of_the_documentation_says_the_same(file: Path, trained: Path, photos: Path, command):
    script = ROOT / "docs" / "programs" / "answer.py"
    program = script.read_text()
    imported = re.findall(r"^(?:import|from) .*", program, re.MULTILINE)
    assert len(program.splitlines()) <= 40 and not [line for line in imported if "lensmith" in line or "torch" in line]
    picture = sorted(photos.rglob("*.png"))[0]
    done = subprocess.run([sys.executable, "-I", str(script), str(file), str(picture)], capture_output=True, text=True,
                          check=True)
    name, _, scores = done.stdout.partition(" ")
    expected = json.loads(command("predict", trained, picture, "--json").out)[0]["scores"]
    assert name == "label" and json.loads(scores.replace("'", '"')) == pytest.approx(expected, abs=2e-4)


def test_a_file_that_does_not_agree_is_not_called_good(trained: Path, tmp_path: Path, command,
                                                       monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("lensmith.ship.export.parity._DIFFERENCE", -1.0)
    ended = command("export", trained, "--out", tmp_path / "bad.onnx", "--quiet")
    assert ended.code == Disagreement.code == 5
    assert ended.err == (f"lensmith: {tmp_path / 'bad.onnx'} does not answer as {trained} does: "
                         f"{tmp_path / 'export.json'} says where. Do not use it\n")
    assert json.loads((tmp_path / "export.json").read_text())["agrees"] is False


def test_what_cannot_be_exported_is_one_line(trained: Path, tmp_path: Path, command):
    lacking = tmp_path / "lacking"
    shutil.copytree(trained, lacking)
    (lacking / "best.safetensors").unlink()
    ended = command("export", lacking)
    assert ended.code == 4 and ended.err.count("\n") == 1 and "best.safetensors" in ended.err
    ended = command("export", trained, "--to", "onx")
    assert ended.code == 2
    assert "unknown export.to (--to) 'onx'. Did you mean 'onnx'? Known: ncnn, onnx, openvino." in ended.err
    ended = command("export", trained, "--out", tmp_path / "absent" / "model.onnx")
    assert ended.code == 2 and "cannot write" in ended.err
    assert "choose another file with export.out (--out)" in ended.err
    ended = command("predict", trained, "x.png", "--runtime", "onnxrt")
    assert ended.code == 2 and "unknown predict.runtime (--runtime) 'onnxrt'. Did you mean 'onnxruntime'?" in ended.err


def test_files_that_cannot_be_used_are_one_line(file: Path, photos: Path, tmp_path: Path, command):
    def refused(path: Path, text: str, code: int = 4) -> None:
        ended = command("predict", path, photos, "--runtime", "onnxruntime")
        assert ended.code == code and ended.err.count("\n") == 1 and ended.out == "", ended.err
        assert text in ended.err, ended.err

    refused(file.with_name("modle.onnx"), "Did you mean 'model.onnx'?")
    (tmp_path / "text.onnx").write_text("no network")
    refused(tmp_path / "text.onnx", "is not an ONNX file, or is damaged")
    (tmp_path / "empty.onnx").write_bytes(b"")
    refused(tmp_path / "empty.onnx", "was not written by Lensmith")
    (tmp_path / "half.onnx").write_bytes(file.read_bytes()[:2000])
    refused(tmp_path / "half.onnx", f"lensmith: {tmp_path / 'half.onnx'} ")
    model = onnx.load(file)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "other.onnx")
    refused(tmp_path / "other.onnx", "was not written by Lensmith: its metadata have no entry 'lensmith'")
    model = onnx.load(file)
    model.metadata_props[0].value = model.metadata_props[0].value.replace('"format": 2', '"format": 9')
    onnx.save(model, tmp_path / "newer.onnx")
    refused(tmp_path / "newer.onnx", "has facts of format 9, and this version reads up to 2")
    for location in ("../weights.bin", "/etc/passwd"):
        model = onnx.load(file)
        weights = model.graph.initializer[0]
        weights.ClearField("raw_data")
        weights.data_location = onnx.TensorProto.EXTERNAL
        weights.external_data.add(key="location", value=location)
        (tmp_path / "far.onnx").write_bytes(model.SerializeToString())
        refused(tmp_path / "far.onnx", f"reads its weights from '{location}', outside of its folder, which is refused")
    ended = command("predict", file, photos, "--runtime", "torch")
    assert ended.code == 2 and "torch runs the network of a run folder" in ended.err
    ended = command("val", file)
    assert ended.code == 4 and "is a file and has no data of its own: name some to measure on" in ended.err


def test_a_file_that_ends_the_process_that_reads_it(file: Path, photos: Path, command, monkeypatch: pytest.MonkeyPatch,
                                                    tmp_path: Path):
    script = tmp_path / "dies.py"
    script.write_text("import os\nos.abort()\n")
    monkeypatch.setattr("lensmith.ship.runtimes.checked_file._SCRIPT", script)
    ended = command("predict", file, photos)
    assert ended.code == 4 and "is damaged or hostile: it ends the process that reads it (code -6)" in ended.err


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@pytest.mark.parametrize("words", [
    ["predict", "RUN", "PICTURE", "--runtime", "auto"], ["predict", "FILE", "PICTURE", "--runtime", "openvino"],
    ["benchmark", "lenet", "--size", "20", "--batch", "1", "--seconds", "0.1"],
    pytest.param(["benchmark", "FILE", "--batch", "1", "--seconds", "0.1"], marks=pytest.mark.slow),
    pytest.param(["export", "RUN", "--int8", "--lose", "0.5", "--out", "int8.onnx"], marks=pytest.mark.slow),
    pytest.param(["export", "RUN", "--to", "openvino", "--out", "model.xml"], marks=pytest.mark.slow)],
    ids=["auto", "file", "benchmark", "benchmark-file", "int8", "openvino"])
def test_nothing_is_sent_and_nothing_is_written_into_the_home_folder(file: Path, trained: Path, photos: Path,
                                                                     tmp_path: Path, words: list[str]):
    """Python cannot see what a library sends by itself, so the system calls of all processes are looked at."""
    home, log = tmp_path / "home", tmp_path / "calls"
    home.mkdir()
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith(("XDG_", "LENSMITH_", "ORT_"))}
    named = {"RUN": str(trained), "FILE": str(file), "PICTURE": str(sorted(photos.rglob("*.png"))[0])}
    done = subprocess.run(["strace", "-f", "-qq", "-e", "trace=socket,connect,sendto,sendmsg", "-o", str(log),
                           sys.executable, "-m", "lensmith", *(named.get(word, word) for word in words)], check=True,
                          capture_output=True, text=True, env=environment | {"HOME": str(home)}, cwd=tmp_path)
    if words[:2] != ["predict", "FILE"]:    # which says nothing of what computes; the others have computed
        told = done.stdout + done.stderr
        assert "openvino" in told and ("onnxruntime" in told or "model.xml" in words)
    calls = log.read_text().splitlines()
    reaching = [call for call in calls if re.search(r"AF_INET6?\b", call) and not re.search(r"127\.0\.0\.1|::1", call)]
    assert not reaching, reaching
    written = [path for path in home.rglob("*") if path.relative_to(home).parts[:2] != (".cache", "lensmith")
               and path != home / ".cache"]
    assert not written, written


def test_16_bits_are_judged_by_held_out_pictures_where_the_processor_has_them(trained: Path, command,
                                                                               monkeypatch: pytest.MonkeyPatch):
    """Any processor computes in bfloat16, however slowly: what is looked at here is who may be chosen."""
    held_out: list[int] = []

    def counted(run: Trained, number: int) -> list[Tensor]:
        batches = held_out_pictures(run, number)
        held_out.append(sum(map(len, batches)))
        return batches

    monkeypatch.setattr("lensmith.training.from_file.held_out_pictures", counted)
    monkeypatch.setattr("lensmith.ship.runtimes.candidates.multiplies_bfloat16", lambda: True)
    monkeypatch.setattr("lensmith.ship.runtimes.choice.multiplies_bfloat16", lambda: True)
    tried = json.loads(command("val", trained, "--runtime", "auto", "--json").out)["runtime"][0]["tried"]
    sixteen = [row for row in tried if row["precision"] == "bfloat16"]
    assert {row["runtime"] for row in sixteen} == {"torch", "openvino"}
    assert {row["verdict"].partition(":")[0] for row in sixteen} <= {"chosen", "slower", "not tried", "refused"}
    assert held_out == [32]    # read once
    monkeypatch.setattr("lensmith.training.from_file.held_out_pictures", lambda trained, number: [])
    monkeypatch.setenv("LENSMITH_CACHE", os.environ["LENSMITH_CACHE"] + "-other")
    tried = json.loads(command("val", trained, "--runtime", "auto", "--json").out)["runtime"][0]["tried"]
    assert {row["verdict"] for row in tried if row["precision"] == "bfloat16"} <= {
        "refused: there are no held-out pictures to compare its answers in bfloat16 on",
        "not tried: torch was far slower"}
    ended = command("val", trained, "--runtime", "openvino:bfloat16", "--json")
    assert json.loads(ended.out)["runtime"][0]["precision"] == "bfloat16"
    assert json.loads(command("val", trained, "--runtime", "torch:bfloat16", "--json").out)["count"] == 150
