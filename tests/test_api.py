"""The package from Python, as the README shows it, and with what a user brings along."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import lensmith
from lensmith.base.errors import DataError, ModelError, UserError
from lensmith.base.pictures import Form


class Net(nn.Module):
    """A user's own network, which knows nothing of this package."""

    def __init__(self, outputs: int = 7):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 6, 3, 2), nn.ReLU(), nn.Conv2d(6, 8, 3, 2), nn.ReLU(), nn.Flatten(),
                                    nn.Linear(8 * 4 * 4, outputs))

    def forward(self, images):
        return self.layers(images)


class Bars:
    """A user's own data set: upright or lying bars, as (array, class) pairs."""

    classes = ("upright", "lying")

    def __init__(self, count: int, seed: int = 0):
        random = np.random.default_rng(seed)
        self.kinds = random.integers(0, 2, count)
        self.places = random.integers(2, 16, count)

    def __len__(self) -> int:
        return len(self.kinds)

    def __getitem__(self, i: int):
        if i >= len(self):
            raise IndexError
        picture = np.zeros((20, 20), dtype=np.uint8)
        if self.kinds[i] == 0:
            picture[:, self.places[i] : self.places[i] + 2] = 255
        else:
            picture[self.places[i] : self.places[i] + 2] = 255
        return picture, int(self.kinds[i])


def test_five_lines_of_python(tmp_path: Path, photos: Path):
    run = lensmith.train("shapes", backbone="lenet", epochs=2, batch=32, runs=tmp_path, settings={"data.count": 300})
    assert (run.folder / "report.html").exists() and 0 <= run.metrics["test"]["accuracy_top1"] <= 1
    trained = lensmith.load(run.folder)
    found = trained.predict([photos, next(photos.rglob("*.png"))])
    assert len(found) == 60    # the one that is named twice is answered once
    assert found[0].label in ("square", "disc", "triangle") and 1 / 3 < found[0].score <= 1
    assert trained.validate()["accuracy_top1"] == run.metrics["test"]["accuracy_top1"]
    assert found[0].top(3)[0][0] == found[0].label


def test_a_users_module_and_data_set(tmp_path: Path):
    seen = []
    run = lensmith.train(Bars(200), valid=Bars(40, 1), test=Bars(60, 2), backbone=Net(), epochs=4, batch=20, rate=3e-3,
                         name="own", runs=tmp_path, show=seen.append)
    assert run.metrics["test"]["accuracy_top1"] > 0.95 and run.metrics["test"]["count"] == 60
    assert sum(report.row is not None for report in seen) == 4
    picture, kind = Bars(10, 5)[0]
    assert run.predict(Image.fromarray(picture))[0].label == Bars.classes[kind]
    with pytest.raises(ModelError, match=r"was trained on a Python object as its backbone: .* backbone=\.\.\."):
        lensmith.load(run.folder)
    again = lensmith.load(run.folder, backbone=Net())
    assert again.predict(Image.fromarray(picture))[0].score == run.predict(Image.fromarray(picture))[0].score
    found = again.validate("test", data={"train": Bars(200), "valid": Bars(40, 1), "test": Bars(60, 2)})
    assert found["accuracy_top1"] == run.metrics["test"]["accuracy_top1"]
    notes = run.run.read_json("data.json")["notes"]
    assert any("its last layer, layers.5, was replaced: 2 outputs instead of 7" in note for note in notes)


class Scenes:
    """Pictures of three sizes with a light square and a dark bar, in the form that torchvision's detectors take."""

    classes = ("square", "bar")

    def __init__(self, count: int, seed: int = 0):
        draw = np.random.default_rng(seed)
        self.samples = []
        for i in range(count):
            width, height = ((96, 64), (64, 96), (80, 80))[i % 3]
            picture = np.full((height, width, 3), 100, np.uint8)
            boxes, labels = [], []
            for kind, (wide, high), shade in ((0, (20, 20), 240), (1, (34, 10), 5))[i % 2 :]:
                x, y = draw.integers(0, width - wide), draw.integers(0, height - high)
                picture[y : y + high, x : x + wide] = shade
                boxes.append([x, y, x + wide, y + high])
                labels.append(kind)
            self.samples.append((picture, {"boxes": torch.tensor(boxes).float(), "labels": torch.tensor(labels)}))

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, i: int):
        return self.samples[i]


def test_objects_of_a_python_user_are_measured_in_his_own_pixels(tmp_path: Path):
    parts = {"train": Scenes(24), "valid": Scenes(6, 1), "test": Scenes(6, 2)}
    parts["train"].samples[0][1]["boxes"][0, 2] = 300    # beyond the edge
    run = lensmith.train(parts["train"], valid=parts["valid"], test=parts["test"], task="detection", backbone="csp",
                         epochs=1, batch=8, device="cpu", runs=tmp_path, settings={
                             "backbone.width": 8, "task.width": 16, "plan.mode": "exact", "plan.threads": 1})
    assert run.form == Form(3, 96, 96, "pad") and run.classes == {"boxes": ("square", "bar")}
    data = run.run.read_json("data.json")
    assert data["boxes"]["per_class"] == {"square": 12, "bar": 24}
    assert data["source"]["clipped"] == {"large": {"count": 1, "pictures": ["#0"]}}
    assert lensmith.load(run.folder).validate("test", data=parts)["mAP50"] == run.metrics["test"]["mAP50"]
    # The same set as files, of which every step is tested on its own, measures the same.
    for number, (picture, target) in enumerate(parts["test"].samples):
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
        lines = [f"{number}.png,{','.join(str(int(edge)) for edge in box)},{Scenes.classes[label]}"
                 for box, label in zip(target["boxes"].tolist(), target["labels"].tolist(), strict=True)]
        with open(tmp_path / "boxes.csv", "a") as table:
            table.write("".join(f"{line}\n" for line in ([] if number else ["path,x0,y0,x1,y1,label"]) + lines))
    measured = run.validate(data=tmp_path / "boxes.csv")
    assert measured["count"] == 6
    assert measured["mAP50"] == pytest.approx(run.metrics["test"]["mAP50"], abs=1e-6)
    assert measured["loss"] == pytest.approx(run.metrics["test"]["loss"], rel=1e-4)


def test_a_run_on_python_objects_goes_on_to_the_same_bits(tmp_path: Path):
    def stop(report):
        if report.step == 7:
            raise KeyboardInterrupt

    given = {"valid": Bars(40, 1), "epochs": 2, "batch": 20, "runs": tmp_path, "settings": {"run.save_every": 0.0}}
    torch.manual_seed(3)
    whole = lensmith.train(Bars(200), backbone=Net(2), name="whole", **given)
    torch.manual_seed(3)
    with pytest.raises(KeyboardInterrupt):
        lensmith.train(Bars(200), backbone=Net(2), name="cut", show=stop, **given)
    gone_on = lensmith.resume(tmp_path / "cut", data=Bars(200), valid=Bars(40, 1), backbone=Net(2))
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, gone_on.network.state_dict()[name])
    with pytest.raises(ModelError, match="was trained on a Python object as its data"):
        lensmith.load(tmp_path / "cut", backbone=Net(2)).validate()


def test_a_run_on_a_users_objects_goes_on_to_the_same_bits(tmp_path: Path):
    def stop(report):
        if report.step == 2:
            raise KeyboardInterrupt

    given = {"valid": Scenes(3, 1), "task": "detection", "backbone": "csp", "epochs": 2, "batch": 4, "device": "cpu",
             "runs": tmp_path, "settings": {"backbone.width": 8, "task.width": 16, "plan.mode": "exact",
                                            "plan.threads": 1, "run.save_every": 0.0, "augment.mosaic": 1.0}}
    whole = lensmith.train(Scenes(12), name="whole", **given)
    with pytest.raises(KeyboardInterrupt):
        lensmith.train(Scenes(12), name="cut", show=stop, **given)
    gone_on = lensmith.resume(tmp_path / "cut", data=Scenes(12), valid=Scenes(3, 1))
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, gone_on.network.state_dict()[name])


def test_one_step_of_one_batch_moves_the_weights(tmp_path: Path):
    from lensmith.engine.run_folder import Run

    run = lensmith.train("shapes", backbone="simple", epochs=1, batch=512, runs=tmp_path, settings={
        "data.count": 60, "split.valid": 0.0})
    assert Run.open(run.folder).read_last()["learner"]["stepper"]["done"] == 1
    moments = Run.open(run.folder).read_last()["learner"]["stepper"]["moments"]
    weight = run.network.state_dict()["backbone.layers.conv1.weight"]
    fresh = lensmith.train("shapes", backbone="simple", epochs=1, batch=512, rate=1e-30, runs=tmp_path, settings={
        "data.count": 60, "split.valid": 0.0}).network.state_dict()["backbone.layers.conv1.weight"]
    assert moments and (weight - fresh).abs().max() > 1e-5


def test_a_torchvision_style_data_set_of_floats(tmp_path: Path):
    pairs = [(torch.from_numpy(picture)[None] / 255, kind) for picture, kind in Bars(60)]
    run = lensmith.train(pairs, backbone="simple", epochs=1, runs=tmp_path)
    assert run.form.channels == 1 and run.form.size == (20, 20)


def test_regression_from_a_table_and_tags_from_a_table(tmp_path: Path, drawn):
    from lensmith.base.pictures import to_pil

    part = drawn["train"]
    lines = {"box": ["path,x0,y0,x1,y1"], "tags": ["path,tags"]}
    for i in range(80):
        to_pil(part.images[i]).save(tmp_path / f"{i}.png")
        corners = ",".join(f"{value:.1f}" for value in part.targets["boxes"].corners[i].tolist())
        name = part.classes["label"][int(part.targets["label"].index[i])]
        lines["box"].append(f"{i}.png,{corners}")
        lines["tags"].append(f"{i}.png,{name};{'big' if i % 2 else 'small'}")
    for name, rows in lines.items():
        (tmp_path / f"{name}.csv").write_text("\n".join(rows) + "\n")
    box = lensmith.train(tmp_path / "box.csv", backbone="lenet", epochs=2, runs=tmp_path / "runs")
    assert {"MAE", "RMSE", "R2"} <= set(box.metrics["test"]) and box.recipe["task"]["name"] == "regression"
    values = box.predict(tmp_path / "3.png")[0].as_json()["numbers"]
    assert set(values) == {"x0", "y0", "x1", "y1"}
    tags = lensmith.train(tmp_path / "tags.csv", backbone="lenet", epochs=1, runs=tmp_path / "runs")
    assert tags.recipe["task"]["name"] == "tagging" and "macro_f1" in tags.metrics["test"]
    assert "tags" in tags.predict(tmp_path / "3.png")[0].as_json()


def test_class_weights_smoothing_focal_and_balance(tmp_path: Path):
    run = lensmith.train("shapes", backbone="simple", epochs=1, runs=tmp_path, settings={
        "data.count": 120, "task.name": "classification", "task.class_weights": "balanced", "task.smoothing": 0.1,
        "task.focal": 1.0, "loading.balance": True, "augment.cutmix": 1.0, "augment.mixup": 0.5})
    assert lensmith.load(run.folder).validate("train")["count"] == 90


def test_streamed_and_kept_pictures_train_to_the_same_weights(photos: Path, tmp_path: Path):
    runs = [lensmith.train(photos, backbone="lenet", epochs=2, name=name, runs=tmp_path, settings={
        "loading.memory": memory, "loading.workers": workers, "plan.threads": 1})
        for name, memory, workers in (("kept", 0.4, 0), ("streamed", 0.0, 2))]
    weights = [run.network.state_dict() for run in runs]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    kept, streamed = (run.run.read_json("data.json") for run in runs)
    assert kept["fingerprint"] == streamed["fingerprint"] and kept["files"] == streamed["files"]
    assert "decoded anew each epoch" in streamed["notes"][0] and not kept["notes"]


def test_folds_and_groups_are_written_to_the_run(photos: Path, tmp_path: Path):
    parts = []
    for fold in range(3):
        run = lensmith.train(photos, backbone="simple", epochs=1, runs=tmp_path, settings={
            "split.folds": 3, "split.fold": fold, "split.test": 0.0})
        parts.append(set(run.run.read_json("data.json")["files"]["valid"]))
    assert len(set.union(*parts)) == 60 == sum(map(len, parts))


def test_what_a_python_caller_gets_wrong(tmp_path: Path):
    with pytest.raises(DataError, match="a data set has a length and gives samples by number; got a int"):
        lensmith.train(3, runs=tmp_path)
    with pytest.raises(DataError, match="samples by number; got a dict with train, test: pass its training split"):
        lensmith.train({"train": Bars(4), "test": Bars(4)}, runs=tmp_path)
    with pytest.raises(UserError, match="a setting is named section.key, for example learner.epochs; got 'epochs'"):
        lensmith.train("shapes", runs=tmp_path, settings={"epochs": 3})
    with pytest.raises(DataError, match="the valid split gives numbers, the training split label"):
        lensmith.train(Bars(20), valid=[(Bars(1)[0][0], 0.5)], backbone="simple", runs=tmp_path)
    with pytest.raises(UserError, match="valid= and test= go with a data set object; 'shapes' brings its own splits"):
        lensmith.train("shapes", valid=Bars(3), runs=tmp_path)
    with pytest.raises(DataError, match="the valid split has the classes"):
        lensmith.train([(Bars(1)[0][0], 0), (Bars(1)[0][0], 1)], valid=Bars(9), backbone="simple", runs=tmp_path)
    with pytest.raises(ModelError, match="the network gives"):
        lensmith.train(Bars(20), backbone=nn.Conv2d(1, 2, 3), runs=tmp_path)
    assert not list(tmp_path.iterdir())


def test_data_brought_by_split_have_a_training_part(tmp_path: Path):
    trained = lensmith.train(Bars(20), backbone="simple", epochs=1, runs=tmp_path)
    with pytest.raises(UserError, match=r"the data were passed by split \(test\) without .train., which sets the"):
        trained.validate(data={"test": Bars(4)})


def test_the_public_names():
    assert sorted(lensmith.__all__) == ["Player", "Trained", "__version__", "darknet", "learn_to_play", "load",
                                        "load_player", "metrics", "resume", "train"]
    assert all(hasattr(lensmith, name) for name in lensmith.__all__)
    with pytest.raises(AttributeError, match="module 'lensmith' has no attribute 'trian'"):
        lensmith.trian  # noqa: B018 - the look-up is the test
