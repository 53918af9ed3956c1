"""Larger sets: decoded while training, in memory, in the cache or each time anew, with the same result and account."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

import lensmith
from lensmith.base.errors import DataError, UserError
from lensmith.data.batches.augment import Augment
from lensmith.data.batches.loader import Loader
from lensmith.data.store import at_once as store
from lensmith.recipe.open_data import Data, open_data
from lensmith.recipe.sections import resolve
from lensmith.training.begin_or_resume import begin_session, resume_session

WAYS = {"memory": {"loading.memory": 0.5}, "file": {"loading.memory": 0.0, "loading.disk": 1.0},
        "not": {"loading.memory": 0.0, "loading.disk": 0.0, "loading.workers": 0}}


@pytest.fixture(autouse=True)
def every_set_takes_long(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("LENSMITH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(store, "_MOMENT", 0)


def damaged(photos: Path, *names: str) -> list[str]:
    """Pictures cut off in their bodies, whose headers are whole."""
    for name in names:
        (photos / name).write_bytes((photos / name).read_bytes()[:80] + b"?" * 60)
    return list(names)


def first_of(photos: Path, per_class: int = 1) -> list[str]:
    return [file.relative_to(photos).as_posix() for folder in sorted(photos.iterdir())
            for file in sorted(folder.iterdir())[:per_class]]


def opened(photos: Path, told: list[str] | None = None, **sections) -> Data:
    recipe = {"data": {"name": "folder", "path": str(photos)}} | sections
    return open_data(resolve(recipe, trusted=False), tell=(told or []).append)


def test_small_sets_are_decoded_before_they_are_used(photos: Path, monkeypatch):
    bad = damaged(photos, *first_of(photos))
    monkeypatch.undo()
    told = [""]
    data = opened(photos, told)
    assert data.store is None and data.account["kept"] == "memory" and any("decoding" in line for line in told)
    assert sorted(one["file"] for one in data.account["dropped"]) == bad


def test_the_account_is_the_same_however_the_pictures_are_kept(photos: Path, tmp_path: Path):
    damaged(photos, *first_of(photos))
    accounts = {}
    for way, settings in WAYS.items():
        data = opened(photos, loading={key.partition(".")[2]: value for key, value in settings.items()})
        accounts[way] = data.account
        assert data.account.pop("kept") == way and data.account["dropped"] == []
        with data.paused():
            assert len(data.splits["train"]) == 48 and data.classes == data.splits["train"].classes
    notes = {way: account.pop("notes") for way, account in accounts.items()}
    assert accounts["memory"] == accounts["file"] == accounts["not"]
    large = "60 decoded pictures take 0 MB, more than loading.memory=0 of the free memory"
    assert notes["memory"] == [] and notes["not"] == [f"{large}: they are decoded anew each epoch"]
    assert notes["file"][0].startswith(f"{large}: they are kept in {tmp_path / 'cache' / 'pictures'}/3x20x20-crop-8-")


def test_too_little_of_both_is_said_once_and_streamed(photos: Path):
    told = [""]
    data = opened(photos, told, loading={"memory": 1e-9, "disk": 1e-9})
    assert data.account["kept"] == "not" and told == [""]
    assert data.account["notes"] == [
        "60 decoded pictures take 0 MB, more than loading.memory=1e-09 of the free memory and, as a file of the cache, "
        "more than loading.disk=1e-09 of cache and free disk together: they are decoded anew each epoch"]


@pytest.mark.parametrize("way", WAYS)
def test_refusing_bad_pictures_decodes_all_before(photos: Path, way: str):
    loading = {key.partition(".")[2]: value for key, value in WAYS[way].items()}
    assert opened(photos, loading=loading, pictures={"on_bad": "refuse"}).account["dropped"] == []
    bad = damaged(photos, first_of(photos)[1])
    with pytest.raises(DataError, match=rf"^1 picture cannot be used: {bad[0]} .* them out with pictures.on_bad=skip$"):
        opened(photos, loading=loading, pictures={"on_bad": "refuse"})


@pytest.mark.parametrize(("name", "fraction"), [("memory", 1.5), ("memory", -0.1), ("disk", 2.0), ("disk", -1.0)])
def test_a_fraction_is_a_fraction(photos: Path, name: str, fraction: float):
    text = rf"^loading\.{name} must be a fraction of the free {name}, 0 \.\. 1; got {fraction}$"
    with pytest.raises(UserError, match=text):
        opened(photos, loading={name: fraction})


def test_a_look_at_the_data_decodes_all(photos: Path, command):
    bad = damaged(photos, *first_of(photos))
    ended = command("data", "show", photos)
    assert ended.code == 0 and [line.split()[0] for line in ended.out.splitlines() if line.startswith("  ")] == bad
    assert f"left out: {len(bad)} of 60 pictures that cannot be read, left out\n" in ended.out


def weights(run: lensmith.Trained) -> dict[str, torch.Tensor]:
    return run.network.state_dict()


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def test_every_way_trains_to_the_same_weights_and_names_what_was_bad(photos: Path, tmp_path: Path):
    bad = damaged(photos, *first_of(photos, 2))
    runs = [lensmith.train(photos, backbone="lenet", epochs=2, batch=8, name=f"{way}{again}", runs=tmp_path / "runs",
                           settings={"plan.mode": "exact", "plan.threads": 1, "augment.mixup": 0.5, **WAYS[way]})
            for way, again in (("memory", 0), ("file", 0), ("file", 1), ("not", 0))]
    wanted = weights(runs[0])
    for run in runs:
        assert same(wanted, weights(run)) and run.metrics["test"] == runs[0].metrics["test"]
        dropped = json.loads((run.folder / "data.json").read_text())["dropped"]
        assert sorted(one["file"] for one in dropped) == sorted(bad)
        assert all(one["reason"].endswith("(found while training)") for one in dropped)
    assert runs[0].validate("train") == runs[3].validate("train")


def test_a_run_that_goes_on_with_less_memory_ends_with_the_same_bits(photos: Path, tmp_path: Path, monkeypatch):
    bad = damaged(photos, *first_of(photos))
    recipe = {"data": {"name": "folder", "path": str(photos)}, "backbone": {"name": "lenet"}, "learner": {"epochs": 2},
              "loading": {"batch": 8}, "run": {"save_every": 0.0}, "plan": {"mode": "exact", "threads": 1}}
    results = []
    for name, stops in (("whole", ()), ("stopped", (2, 5, 8))):
        session = begin_session({**recipe, "run": {"name": name, "save_every": 0.0}}, runs=tmp_path / "runs")
        for stop, room in zip((*stops, 99), (1 << 40, 0, 1 << 40, 0), strict=False):
            for report in session:
                if report.step == stop:
                    break
            else:
                break
            monkeypatch.setattr(store, "free_memory", lambda room=room: room)
            session = resume_session(tmp_path / "runs" / name)
            assert session.job.data.account["kept"] == ("memory" if room else "file")
        results.append(session.run.read_last()["learner"]["network"])
        dropped = session.run.read_json("data.json")["dropped"]
        assert sorted(one["file"] for one in dropped) == sorted(bad)
    assert same(*results)


def with_parts(photos: Path) -> dict[str, object]:
    """A section [data]: a table beside the photos with a label, a box and a mask for every second, third and fourth."""
    files = sorted(path for folder in photos.iterdir() for path in folder.iterdir())
    lines = ["name,kind,size,head_xmin,head_ymin,head_xmax,head_ymax,outline"]
    for number, file in enumerate(files):
        size = "" if number % 2 else ("small", "large")[number // 2 % 2]
        box = "" if number % 3 else f"{number % 5},2,{number % 5 + 9},12"
        mask = "" if number % 4 else f"masks/{number % 8}.png"
        lines.append(f"{file.parent.name}/{file.name},{file.parent.name},{size},{box or ',,,'},{mask}")
    (photos.parent / "masks").mkdir()
    for number in (0, 4):
        Image.new("L", (20, 20), number).save(photos.parent / "masks" / f"{number}.png")
    (photos.parent / "parts.csv").write_text("\n".join(lines))
    return {"name": "table", "path": str(photos.parent / "parts.csv"), "pictures": f"{photos.name}/{{name}}",
            "target": ["kind", "size", "head", "outline"]}


def test_several_parts_give_the_same_batches_and_account_however_the_pictures_are_kept(photos: Path, command):
    section, found = with_parts(photos), {}
    for way, settings in WAYS.items():
        loading = {key.partition(".")[2]: value for key, value in settings.items()}
        data = opened(photos, data=section, loading=loading)
        train = data.splits["train"]
        augment = Augment(flip=True, zoom=[0.5, 1.5], classes=data.classes, length=len(train), epochs=2)
        loader = Loader(train, 7, seed=3, shuffle=True, augment=augment, workers=0)
        assert data.account.pop("kept") == way and data.form.fit == "pad"
        data.account.pop("notes")
        found[way] = [(batch.images, batch.targets) for batch in loader.at(1, 2)], data.account
    (first, account), *others = found.values()
    assert len(first) == 5 and list(first[0][1]) == ["kind", "size", "head", "outline"]
    for batches, other in others:
        assert other == account
        for (images, targets), (its, same_targets) in zip(first, batches, strict=True):
            assert torch.equal(images, its)
            for name, value in targets.items():
                assert same(tensors(value), tensors(same_targets[name])), name
    parts = [split["parts"] for split in account["splits"].values()]
    assert [sum(part[name]["known"] for part in parts) for name in parts[0]] == [60, 30, 20, 15]
    assert account["boxes"]["boxes"] == account["boxes"]["pictures"] == parts[0]["head"]["known"]
    shown = command("data", "show", photos.parent / "parts.csv", f"data.pictures={photos.name}/{{name}}",
                    'data.target=["kind", "size", "head", "outline"]')
    assert shown.code == 0 and "size: large" in shown.out and "outline not known" in shown.out


def tensors(value) -> dict[str, torch.Tensor]:
    return {name: one for name, one in vars(value).items() if one is not None}


def test_a_run_on_several_parts_goes_on_with_the_same_bits_and_not_on_other_cells(photos: Path, tmp_path: Path):
    section, results = with_parts(photos), []
    recipe = {"data": section, "task": {"name": "multitask", "parts": ["kind", "size", "outline"]},
              "backbone": {"name": "cnn3"}, "learner": {"epochs": 2}, "loading": {"batch": 12},
              "plan": {"mode": "exact", "threads": 1}}
    for name, stop in (("whole", 99), ("stopped", 3)):
        session = begin_session({**recipe, "run": {"name": name, "save_every": 0.0}}, runs=tmp_path / "runs")
        for report in session:
            if report.step == stop:
                break
        else:
            results.append(session.run.read_last()["learner"]["network"])
    session = resume_session(tmp_path / "runs" / "stopped")
    for _ in session:
        pass
    results.append(session.run.read_last()["learner"]["network"])
    assert same(*results)
    table = Path(str(section["path"]))
    table.write_text(table.read_text().replace(",small,", ",large,", 1))
    with pytest.raises(DataError, match="have changed since it began, so it cannot go on with the same bits"):
        resume_session(tmp_path / "runs" / "stopped")
