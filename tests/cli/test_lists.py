"""What can be chosen from, the runs there are, and a network's layers by its name."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lensmith.base.errors import ModelError, UserError
from lensmith.cli import lists as catalogue
from lensmith.cli.lists import entries, layers
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
    assert catalogue._what("mine", type("Mine", (), {"__doc__": "By He et al. Nobody\n  else. Second one."})) == \
        "By He et al. Nobody else"


def test_an_unknown_list_is_told_with_the_nearest_name() -> None:
    with pytest.raises(UserError, match=r"unknown list 'task'\. Did you mean 'tasks'\? Known: backbones, data, "):
        entries("task")


def put(*files: Path) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"not what it should hold")


def test_data_sets_are_told_by_where_they_lie_without_being_read(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = dict.fromkeys(("fashion-mnist", "mnist", "cifar10", "cifar100"))
    with_path = ("folder", "table", "yolo", "coco", "voc", "labelme", "masks")
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


def test_settings_of_a_network_may_name_their_section() -> None:
    short, long = (layers("lenet", [setting], size=28, channels=1)
                   for setting in ("activation=tanh", "backbone.activation=tanh"))
    assert short == long and "Tanh" in {row.kind for row in short.rows}
    assert "Tanh" not in {row.kind for row in layers("lenet", size=28, channels=1).rows}
    with pytest.raises(UserError, match="backbone 'lenet' has no setting 'activatoin'. Did you mean 'activation'?"):
        layers("lenet", ["backbone.activatoin=tanh"])
    with pytest.raises(UserError, match="a setting reads section.key=value"):
        layers("lenet", ["activation"])


def test_layers_are_those_of_the_size_channels_and_classes_asked_for() -> None:
    found = layers("lenet", size=28, channels=1, classes=7)
    # Dense layers 256-120-84-7 and convolutions 6@5x5, 16@5x5 with their biases.
    assert found.totals.parameters == 6 * 26 + 16 * 151 + 257 * 120 + 121 * 84 + 85 * 7
    assert layers("resnet18").rows[-1].shape == (10,)


def test_a_run_folder_gives_its_own_network_and_takes_no_settings(command, tmp_path: Path) -> None:
    ended = command("train", "shapes", "data.count=24", "data.size=20", "--backbone", "lenet", "--epochs", 1, "-q",
                    "--name", "one", "--runs", tmp_path)
    assert ended.code == 0, ended.err
    own, same = layers(str(tmp_path / "one")), layers("lenet", size=20, channels=3, classes=3)
    assert [(row.name, row.shape, row.parameters) for row in own.rows] == \
        [(row.name, row.shape, row.parameters) for row in same.rows]
    with pytest.raises(UserError, match="one is a run folder, whose network is as it was trained: leave 'pool=max'"):
        layers(str(tmp_path / "one"), ["pool=max"])


def test_a_network_of_the_users_own_is_shown_even_where_it_does_not_fit(tmp_path: Path) -> None:
    (tmp_path / "my_net.py").write_text("from torch import nn\n\n\nclass Net(nn.Sequential):\n"
                                        "    def __init__(self):\n"
                                        "        super().__init__(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(9, 2))\n")
    try:
        found = layers(f"{tmp_path}/my_net.py:Net", size=8)
    finally:
        sys.modules.pop("lensmith_outside_my_net", None)
    assert [row.kind for row in found.rows][:1] == ["Conv2d"] and found.totals.problem
    with pytest.raises(ModelError, match="no file .*my_nat.py. Did you mean 'my_net.py'"):
        layers(f"{tmp_path}/my_nat.py:Net")


@pytest.mark.parametrize("name", ["ssdlite320_mobilenet_v3_large", "lraspp_mobilenet_v3_large",
                                  pytest.param("maskrcnn_resnet50_fpn", marks=pytest.mark.slow)])
def test_networks_that_come_whole_show_the_layers_of_their_own_task(name: str) -> None:
    found = layers(name, size=320, classes=4)
    assert any(row.name.startswith("head.model.") for row in found.rows)
    assert found.totals.multiply_adds > 0 and found.totals.problem == ""
