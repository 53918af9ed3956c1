"""scripts/same_numbers.py finds what differs: a bit of a tensor, a word of a text, a number, a file that is missing."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from safetensors.numpy import save_file

SCRIPTS = Path(__file__).parent.parent / "scripts"


@pytest.fixture(scope="module")
def compare() -> ModuleType:
    spec = importlib.util.spec_from_file_location("same_numbers_compare", SCRIPTS / "same_numbers_compare.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Two run folders that differ in nothing but clocks and in where they lie."""
    for side, seconds in (("old", 1.5), ("new", 9.25)):
        run = tmp_path / side / "run"
        run.mkdir(parents=True)
        tree = {"history": [{"epoch": 1, "time": seconds, "loss": 0.5}], "place": f"{tmp_path / side}/run"}
        save_file({"weight": np.arange(6, dtype=np.float32), "nothing": np.zeros(0), "none": np.full(2, np.nan)},
                  run / "last.safetensors", metadata={"format": "one", "tree": json.dumps(tree)})
        (run / "history.csv").write_text(f"epoch,time,waited,loss\n1,{seconds},0.{int(seconds)},0.5\n")
        (run / "metrics.json").write_text(json.dumps({"test": {"count": 10, "loss": None, "table": [1, 2.5]}}))
        (run / "run.json").write_text(json.dumps({
            "seconds": seconds, "notes": [f"epoch 1 waited {int(seconds)}% of its time for pictures: other work"][
                :side == "new"]}))
        (run / "recipe.toml").write_text(f'[data]\npath = "{tmp_path / side}/photos"\n')
        (run / "report.html").write_text(f"<p>lenet, {seconds} s</p>\n<p>accuracy 0.5</p>\n")
    return tmp_path / "old", tmp_path / "new"


def found(compare: ModuleType, pair: tuple[Path, Path]) -> list[str]:
    return compare.differences(*pair, roots=pair)


def changed(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def rewritten(run: Path, tensors: dict[str, np.ndarray]) -> None:
    tree = {"history": [{"epoch": 1, "time": 1, "loss": 0.5}], "place": str(run)}
    save_file(tensors, run / "last.safetensors", metadata={"format": "one", "tree": json.dumps(tree)})


def test_clocks_and_places_make_no_difference(compare: ModuleType, pair: tuple[Path, Path]):
    assert found(compare, pair) == []


def test_one_bit_of_a_tensor_is_found(compare: ModuleType, pair: tuple[Path, Path]):
    weight = np.arange(6, dtype=np.float32)
    weight[3] = np.nextafter(weight[3], np.float32(9))
    rewritten(pair[1] / "run", {"weight": weight, "nothing": np.zeros(0), "none": np.full(2, np.nan)})
    assert found(compare, pair) == ["run/last.safetensors: 1 of 3 tensors differ: weight by 2.38e-07"]


def test_the_largest_differences_come_first(compare: ModuleType, pair: tuple[Path, Path]):
    rewritten(pair[1] / "run", {"weight": np.arange(6, dtype=np.float32) + 2, "nothing": np.zeros(0),
                                "none": np.full((2, 1), np.nan)})
    assert found(compare, pair) == ["run/last.safetensors: 2 of 3 tensors differ: none: float64 [2] and float64 "
                                    "[2, 1]; weight by 2"]


def test_a_sign_of_zero_and_another_kind_are_differences(compare: ModuleType):
    assert compare.compare_tensors(np.array([0.0]), np.array([-0.0])) == 0.0
    assert compare.compare_tensors(np.array([1], np.int32), np.array([1], np.int64)) == "int32 [1] and int64 [1]"
    assert compare.compare_tensors(np.array([np.nan]), np.array([np.nan])) is None


def test_a_missing_tensor_and_a_changed_number_of_the_metadata_are_found(compare: ModuleType, pair: tuple[Path, Path]):
    save_file({"weight": np.arange(6, dtype=np.float32), "none": np.full(2, np.nan)}, pair[1] / "run/last.safetensors",
              metadata={"format": "one", "tree": json.dumps({"history": [{"epoch": 1, "time": 1, "loss": 0.75}],
                                                             "place": f"{pair[1]}/run"})})
    assert found(compare, pair) == ["run/last.safetensors: tensors only in old: nothing; "
                                    "1 values differ: tree.history.0.loss by 0.25"]


@pytest.mark.parametrize(("file", "old", "new", "told"), [
    ("history.csv", "0.5", "0.25", "run/history.csv: \n--- old\n+++ new\n"),
    ("metrics.json", "2.5", "2.75", "run/metrics.json: 1 values differ: test.table.1 by 0.25"),
    ("metrics.json", "null", "0", "run/metrics.json: 1 values differ: test.loss: None and 0"),
    ("metrics.json", "[1, 2.5]", "[1, 2.5, 3]", "run/metrics.json: 2 values differ: test.table.2: 'absent' and 3; "),
    ("recipe.toml", "photos", "other", '-path = "ROOT/photos"\n+path = "ROOT/other"'),
    ("report.html", "0.5<", "0.75<", "-<p>accuracy 0.5</p>\n+<p>accuracy 0.75</p>"),
])
def test_a_changed_word_or_number_is_found(compare: ModuleType, pair: tuple[Path, Path], file: str, old: str, new: str,
                                           told: str):
    changed(pair[1] / "run" / file, old, new)
    one, = found(compare, pair)
    assert told in one


def test_a_file_that_one_side_lacks_is_found(compare: ModuleType, pair: tuple[Path, Path]):
    (pair[1] / "run" / "metrics.json").unlink()
    (pair[1] / "run" / "more.txt").write_text("")
    assert found(compare, pair) == ["run/metrics.json: only in old", "run/more.txt: only in new"]


def test_every_case_has_a_name_of_its_own(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    names = [case.name for case in importlib.import_module("same_numbers_cases").cases(["shapes-lenet"])]
    sys.modules.pop("same_numbers_cases")
    assert len(names) == len(set(names)) > 50 and "recipe-shapes-lenet" in names


def test_sentences_may_be_worded_anew_and_nothing_else(compare: ModuleType, pair: tuple[Path, Path]):
    for folder, words in zip(pair, ("said as it was before", "told in other words now"), strict=True):
        (folder / "run" / "report.html").write_text(f"<p>{words}</p>\n")
        (folder / "run" / "run.json").write_text(json.dumps({"notes": [words], "name": "one"}))
    assert len(compare.differences(*pair, roots=pair)) == 2
    assert compare.differences(*pair, roots=pair, sentences=False) == []
    changed(pair[1] / "run" / "run.json", "one", "two")    # a name is no sentence
    assert len(compare.differences(*pair, roots=pair, sentences=False)) == 1
