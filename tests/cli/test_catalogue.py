"""What can be chosen from, where data sets lie, and the runs there are."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lensmith.base.errors import UserError
from lensmith.cli import catalogue
from lensmith.cli.catalogue import entries
from lensmith.data.formats import FORMATS, cifar, idx
from lensmith.data.formats import named_sets as find
from lensmith.engine.optimize import OPTIMIZERS
from lensmith.engine.schedule import SCHEDULES
from lensmith.models.backbones import BACKBONES
from lensmith.tasks import TASKS


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The only folder in which data sets are looked for."""
    monkeypatch.setenv("LENSMITH_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("LENSMITH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(find, "DEBIAN", tmp_path / "debian")
    return tmp_path / "data"


@pytest.mark.parametrize(("what", "table"), [("backbones", BACKBONES), ("tasks", TASKS), ("optimizers", OPTIMIZERS),
                                             ("schedules", SCHEDULES)])
def test_every_entry_of_a_table_is_listed_with_a_sentence_of_use(what: str, table: dict) -> None:
    rows = entries(what)
    assert [row["name"] for row in rows] == list(table)
    assert all(10 < len(row["what"]) < 200 and not row["what"].endswith(".") for row in rows)
    assert len({row["what"] for row in rows}) == len(rows)    # a sentence that fits all says nothing


def test_sentences_end_where_they_end() -> None:
    said = {row["name"]: row["what"] for row in entries("backbones")}
    assert said["lenet"].startswith("LeNet-5 (LeCun et al. 1998) as it is taught today")
    assert said["resnet18"] == "torchvision's resnet18"
    entry = type("Mine", (), {"__doc__": "By He et al. Nobody\n  else. Second one."})
    assert catalogue._first_sentence("mine", entry) == "By He et al. Nobody else"


def test_an_unknown_list_is_told_with_the_nearest_name() -> None:
    message = r"unknown list 'task'\. Did you mean 'tasks'\? Known: algorithms, backbones, data, "
    with pytest.raises(UserError, match=message):
        entries("task")


def put(*files: Path) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"not what it should hold")


def test_data_sets_are_told_by_where_they_lie_without_being_read(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = dict.fromkeys(("fashion-mnist", "mnist", "cifar10", "cifar100"))
    with_path = ("folder", "table", "yolo", "coco", "voc", "labelme", "via", "cvat", "label-studio",
                 "masks", "object-masks")
    given = dict.fromkeys(with_path, "give a path") | {"shapes": "drawn", "several": "give sets"}
    assert {row["name"]: row["here"] for row in entries("data")} == absent | given
    put(data / "mnist" / "MNIST" / "raw" / "train-images-idx3-ubyte.gz", data / "cifar-100-binary" / "train.bin",
        data.parent / "cache" / "cifar10" / "cifar-10-batches-bin" / "data_batch_1.bin")
    for name in FORMATS:    # nothing is opened or drawn, however large it is
        monkeypatch.setitem(FORMATS, name, replace(FORMATS[name], open=_untouchable(FORMATS[name].open)))
    monkeypatch.setattr(idx, "read_idx", None)
    monkeypatch.setattr(cifar, "_records", None)
    assert {row["name"]: row["here"] for row in entries("data")} == {
        **absent, **given, "mnist": str(data / "mnist" / "MNIST" / "raw"), "cifar100": str(data / "cifar-100-binary"),
        "cifar10": str(data.parent / "cache" / "cifar10" / "cifar-10-batches-bin")}


def _untouchable(entry: object) -> object:
    import functools

    @functools.wraps(entry)    # type: ignore[arg-type]
    def refuse(*arguments: object, **settings: object) -> None:
        raise AssertionError("a list of names opens nothing")

    return refuse


def test_runs_are_listed_whatever_their_files_hold(tmp_path: Path) -> None:
    whole = {"status": "finished", "epochs": 5, "score_name": "accuracy_top1", "score": 0.9, "seconds": 12.5}
    for name, content in (("a", json.dumps(whole)), ("b", "[]"), ("c", "{"), ("d", '"text"'), ("e", "null"),
                          ("f", None), ("g", "\udcff"), ("h", "[" * 100_000)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "recipe.toml").touch()
        if content is not None:
            (tmp_path / name / "run.json").write_text(content, encoding="utf-8", errors="surrogateescape")
    (tmp_path / "i").mkdir()    # not a run
    (tmp_path / "j").mkdir()
    (tmp_path / "j" / "recipe.toml").touch()
    (tmp_path / "j" / "run.json").mkdir()
    rows = entries("runs", runs=tmp_path)
    assert rows[0] == {"run": str(tmp_path / "a"), **whole}
    assert {Path(row["run"]).name: row["status"] for row in rows} == {
        "a": "finished", **dict.fromkeys("bcdeghj", "damaged"), "f": "unknown"}
    assert rows[1] == {"run": str(tmp_path / "b"), "status": "damaged", "epochs": None, "score_name": None,
                       "score": None, "seconds": None}


def test_a_folder_of_runs_that_is_absent_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no folder .*nowhere: name the one that holds your runs with --runs"):
        entries("runs", runs=tmp_path / "nowhere")
