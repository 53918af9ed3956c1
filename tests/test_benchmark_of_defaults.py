"""The benchmark of the defaults: its sets, how long its peers train, and how its runs are compared."""

import gzip
import io
import itertools
import struct
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lensmith.data.formats.idx import FASHION

ABOUT = {"processor": "a processor", "cores": 2, "threads": 2, "memory_gb": 16.0, "instructions": "AVX2", "cuda": [],
         "python": "3.11.7", "packages": {}, "load": 0.5, "gflops_float32": 200.0, "gflops_bfloat16": 1500.0}


def pixels_of(file: str) -> np.ndarray:
    with Image.open(file) as picture:
        return np.asarray(picture)


def contents(folder: Path, part: str) -> list[bytes]:
    return [file.read_bytes() for file in sorted(folder.glob(f"{part}/*/*"))]


def test_each_pet_is_tested_in_one_fold_and_learned_from_in_the_others(module: Any, tmp_path: Path,
                                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LENSMITH_DATA", str(tmp_path))
    pets = tmp_path / "pets3"
    (pets / "images").mkdir(parents=True)
    names = [f"{breed}_{number}" for breed in ("Bengal", "american_bulldog") for number in range(5)]
    rows = [f"{name},{name.rpartition('_')[0]}" for name in names]
    (pets / "labels.csv").write_text("\n".join(["name,breed", *rows]))
    for name in names:
        (pets / "images" / f"{name}.jpg").write_bytes(name.encode())
    sets = module("classification_sets")
    folders = [sets.written(sets.pets(fold), tmp_path / f"fold-{fold}") for fold in range(sets.FOLDS)]
    tested = []
    for folder in folders:
        train, test = (sets.pictures_of(folder, part) for part in ("train", "test"))
        assert len(train[0]) + len(test[0]) == 10 and set(train[1]) == set(test[1]) == {"Bengal", "american_bulldog"}
        assert not {Path(file).name for file in train[0]} & {Path(file).name for file in test[0]}
        tested += [Path(file).name for file in test[0]]
    assert sorted(tested) == sorted(f"{name}.jpg" for name in names)


def test_a_set_is_made_once_and_whole(module: Any, tmp_path: Path) -> None:
    written = module("classification_sets").written

    def broken() -> Iterator[tuple[str, str, str, bytes]]:
        yield "train", "a", "1.jpg", b"1"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        written(broken(), tmp_path / "set")
    assert not (tmp_path / "set").exists()
    written(iter([("train", "a", "2.jpg", b"2")]), tmp_path / "set")
    assert contents(written(broken(), tmp_path / "set"), "train") == [b"2"]


def test_cifar_is_drawn_evenly_and_a_shorter_draw_is_in_the_longer(module: Any, tmp_path: Path,
                                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LENSMITH_DATA", str(tmp_path))
    sets = module("classification_sets")
    monkeypatch.setattr(sets, "TEST", 20)
    with tarfile.open(tmp_path / "cifar10-jpeg.tar", "w") as archive:
        for part, label, number in itertools.product(("train", "test"), range(10), range(6)):
            content = f"{part} {label} {number}".encode()
            info = tarfile.TarInfo(f"{part}/class{label}/{number}.jpg")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    short, long = (sets.written(sets.cifar(count), tmp_path / f"cifar-{count}") for count in (20, 50))
    for folder, each in ((short, 2), (long, 5)):
        assert Counter(sets.pictures_of(folder, "train")[1]) == {f"class{label}": each for label in range(10)}
        assert Counter(sets.pictures_of(folder, "test")[1]) == {f"class{label}": 2 for label in range(10)}
        assert all(content.startswith(b"test") for content in contents(folder, "test"))
    assert contents(short, "test") == contents(long, "test")
    assert set(contents(short, "train")) < set(contents(long, "train"))
    assert all(content.startswith(b"train") for content in contents(long, "train"))


def test_fashion_keeps_its_pixels_and_its_parts(module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LENSMITH_DATA", str(tmp_path))
    sets = module("classification_sets")
    monkeypatch.setattr(sets, "TEST", 20)
    pixels = {}
    for stem, first in (("train", 0), ("t10k", 100)):    # the first pixel says which picture it is
        pixels[stem] = np.random.default_rng(first).integers(0, 256, (50, 28, 28), dtype=np.uint8)
        pixels[stem][:, 0, 0] = first + np.arange(50)
        for what, values in (("images-idx3", pixels[stem]), ("labels-idx1", np.arange(50, dtype=np.uint8) % 10)):
            head = struct.pack(f">{values.ndim + 1}I", 0x800 + values.ndim, *values.shape)
            (tmp_path / f"{stem}-{what}-ubyte.gz").write_bytes(gzip.compress(head + values.tobytes()))
    folder = sets.written(sets.fashion(30), tmp_path / "fashion")
    for part, stem, each in (("train", "train", 3), ("test", "t10k", 2)):
        files, labels = sets.pictures_of(folder, part)
        assert len(files) == 10 * each and set(Counter(labels).values()) == {each}
        for file, label in zip(files, labels, strict=True):
            picture = pixels_of(file)
            number = int(picture[0, 0]) - (100 if part == "test" else 0)
            assert np.array_equal(picture, pixels[stem][number])
            assert label == FASHION[number % 10].replace("/", " or ")


def test_drawn_signs_are_the_same_again_and_another_in_each_file(module: Any, tmp_path: Path,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    sets, drawn = module("classification_sets"), module("drawn_signs")
    assert len(set(drawn.CLASSES)) == 100
    monkeypatch.setattr(drawn, "CLASSES", drawn.CLASSES[:3])
    first, again = (sets.written(sets.signs(3, 2), tmp_path / name) for name in ("first", "again"))
    assert [len(contents(first, part)) for part in ("train", "test")] == [9, 6]
    assert len({*contents(first, "train"), *contents(first, "test")}) == 15
    assert all(contents(first, part) == contents(again, part) for part in ("train", "test"))
    assert Image.open(io.BytesIO(contents(first, "test")[0])).size == (96, 96)


def test_objects_are_cut_out_by_their_boxes(module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LENSMITH_DATA", str(tmp_path))
    sets, root = module("classification_sets"), tmp_path / "coco128"
    for split, colour in (("train2017", (200, 40, 40)), ("val2017", (40, 40, 200))):
        labels = root / "object_detection" / "labels" / split
        labels.mkdir(parents=True)
        (root / "images" / split).mkdir(parents=True)
        picture = Image.new("RGB", (200, 100))
        picture.paste(colour, (60, 20, 140, 80))
        picture.save(root / "images" / split / "1.jpg", quality=95)
        # A dog in the coloured rectangle, a person too small, a fire hydrant, whose group is left out.
        (labels / "1.txt").write_text("16 0.5 0.5 0.4 0.6\n0 0.5 0.5 0.1 0.2\n10 0.5 0.5 0.5 0.5\n")
    folder = sets.written(sets.objects(), tmp_path / "objects")
    for part, channel in (("train", 0), ("test", 2)):
        (file,), labels = sets.pictures_of(folder, part)
        picture = pixels_of(file).astype(int)
        assert labels == ["animal"] and picture.shape == (72, 96, 3)    # a tenth of the box more on each side
        assert abs(picture[36, 48, channel] - 200) < 6 and picture[2, 2].max() < 30


def test_the_interval_of_a_difference_is_that_of_its_exact_distribution(module: Any) -> None:
    paired = module("paired")
    draw = np.random.default_rng(3)
    for size, ours, others in ((120, 0.95, 0.9), (600, 0.7, 0.72), (500, 0.5, 0.5)):
        right, theirs = draw.random(size) < ours, draw.random(size) < others
        one = np.bincount(right.astype(int) - theirs + 1, minlength=3) / size    # of one picture that is drawn
        exact = np.ones(1)
        for _ in range(size):
            exact = np.convolve(exact, one)    # of the sum of so many: index 0 stands for -size
        cumulated = exact.cumsum()
        ends = [(np.searchsorted(cumulated, level) - size) / size for level in (0.025, 0.975)]
        samples = paired.differences(right, theirs)
        assert paired.interval(samples) == pytest.approx(ends, abs=1.01 / size)
        assert samples.mean() == pytest.approx(right.mean() - theirs.mean(), abs=4 * samples.std() / 20_000 ** 0.5)
    assert paired.interval(paired.differences([True] * 9, [True] * 9)) == (0, 0)
    assert paired.in_points(0.012, np.linspace(-0.004, 0.028, 1001)) == "+1.2 (-0.3 to +2.7)"


@pytest.mark.parametrize(("with_head", "train", "seconds"), [(True, 400, 180.0), (False, 5000, 180.0),
                                                              (False, 450, 60.0)])
def test_the_epochs_of_a_peer_end_with_the_budget(module: Any, with_head: bool, train: int, seconds: float) -> None:
    budget = module("budget")

    def process(epochs: int, train: int, test: int) -> tuple[float, dict[str, Any]]:
        """A program that takes 9 s to start, 0.04 s a picture of the head, 0.1 to learn all and 0.03 to test."""
        times = [0.04 * train] * with_head + [0.1 * train] * epochs
        return 9 + sum(times) + 0.03 * test, {"epochs": times, "testing": 0.03 * test}

    took, answer = process(2, 160, 40)
    pace = budget.pace_of(answer, took, train=160, test=40, with_head=with_head)
    epochs = pace.epochs(seconds, train=train, test=200)
    ends = process(epochs, train, 200)[0]
    assert process(epochs + 1, train, 200)[0] > budget.LEEWAY * seconds
    assert ends <= budget.LEEWAY * seconds or epochs == 1
    assert (epochs == 1) == (train == 5000 or seconds == 60)


def run_of(module: Any, name: str, fold: int | None, program: str, right: str, **more: Any) -> Any:
    return module("defaults_tables").Run(name, fold, "weights", program, 180.0, 4, 400, right, "2026-12-01", "here",
                                         **more)


def test_runs_of_several_times_join_into_one_table(module: Any, tmp_path: Path) -> None:
    tables, file = module("defaults_tables"), tmp_path / "runs.jsonl"
    assert tables.table(tables.runs_in(file), "weights") == ([], [])
    for fold, ours, theirs in ((0, "1111", "1110"), (1, "1110", "0110"), (2, "11", "11")):
        tables.add(run_of(module, "pets", fold, "fastai", theirs), file)
        tables.add(run_of(module, "pets", fold, "Lensmith", ours), file)
    tables.add(run_of(module, "signs", None, "Lensmith", "0" * 50), file)
    tables.add(run_of(module, "cifar-500", None, "Lensmith", "1" * 100), file)
    tables.add(run_of(module, "cifar-500", None, "Lensmith", "1" * 60 + "0" * 40), file)    # the newer one counts
    tables.add(run_of(module, "cifar-500", None, "fastai", "1" * 90 + "0" * 10), file)
    rows, notes = tables.table(tables.runs_in(file), "weights")
    assert [row["set"] for row in rows] == ["pets", "cifar-500", "mean"]    # of the signs one program is missing
    assert [(row["measured"], row["Lensmith"], row["fastai"]) for row in rows] == [
        (10, 0.9, 0.7), (100, 0.6, 0.9), (None, 0.75, 0.8)]
    assert rows[1]["less fastai, points"].startswith("-30.0 (-39.0 to -21.0")
    assert notes[0] == "Mean test accuracy: Lensmith 0.7500, fastai 0.8000."
    assert notes[1].endswith("excludes 0: cifar-500.") and "signs" in notes[-1] and "pets" not in notes[-1]
    module("results").write("defaults", "x", rows, notes, about=ABOUT, folder=tmp_path / "results")
    module("report").main(tmp_path / "results", tmp_path / "page.md")
    assert "| mean |  |  | 0.75 | 0.8 | -5.0 (" in (tmp_path / "page.md").read_text()


def test_candidates_are_compared_by_what_was_held_out(module: Any) -> None:
    runs = [run_of(module, name, None, program, "", valid=valid) for program, name, valid in (
        ("small", "signs", 0.5), ("small", "objects", 0.7), ("large", "signs", 0.75))]
    assert module("defaults_tables").candidates_table(runs, "weights", ["small", "large"], ["signs", "objects"]) == [
        {"comparison": "weights", "candidate": "small", "signs": 0.5, "objects": 0.7, "mean": 0.6},
        {"comparison": "weights", "candidate": "large", "signs": 0.75, "objects": None, "mean": None}]


def test_sets_whose_pictures_are_not_there_are_told(module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                    capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("LENSMITH_DATA", str(tmp_path))
    monkeypatch.setenv("LENSMITH_CACHE", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["defaults.py", "--only", "cifar-500", "objects"])
    module("defaults").main()
    assert capsys.readouterr().out.splitlines() == [
        f"{name} was not measured: {file} is not there; set LENSMITH_DATA to the folder that holds it"
        for name, file in (("cifar-500", "cifar10-jpeg.tar"), ("objects", "coco128"))]


@pytest.mark.slow
def test_the_sets_of_the_defaults_have_their_sizes_and_no_picture_in_both_parts(module: Any, tmp_path: Path) -> None:
    sets = module("classification_sets")
    if module("pictures").shared("coco128") is None:
        pytest.skip("LENSMITH_DATA is not set")
    tested = Counter({"signs": 100 * sets.SIGNS[1]})    # which take minutes to draw, and are looked at above
    for one in sets.SETS:
        if one.name == "signs":
            continue
        folder = sets.written(one.items(), tmp_path / one.folder_name)
        train, test = contents(folder, "train"), contents(folder, "test")
        assert len({*train, *test}) == len(train) + len(test)
        assert {file.parent.name for file in folder.glob("test/*/*")} == {
            file.parent.name for file in folder.glob("train/*/*")}
        tested[one.name] += len(test)
        if one.name.rpartition("-")[2].isdigit():
            assert len(train) == int(one.name.rpartition("-")[2])
    assert min(tested.values()) >= 500 and set(tested) == set(sets.NAMES)
