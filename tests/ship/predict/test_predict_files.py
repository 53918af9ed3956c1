"""Which pictures are found, that each gets the network's own answer, and what is written of it."""

import csv
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from lensmith.base.errors import DataError, UserError
from lensmith.base.pictures import Form, decode
from lensmith.engine.plan.plan import make_plan
from lensmith.models.backbones.lenet import lenet
from lensmith.models.network import Network
from lensmith.ship.predict import write_files
from lensmith.ship.predict.find_files import find_pictures
from lensmith.ship.predict.overlay import caption
from lensmith.ship.predict.predict_files import predict_pictures
from lensmith.ship.predict.prediction import Prediction
from lensmith.ship.predict.write_files import write_predictions
from lensmith.tasks.classification import Classification
from lensmith.tasks.task import Task
from lensmith.values.labels import Label, Numbers, Tags

NAMES = ("ant", "bee", "cat", "dog")
FORM = Form(3, 32, 32)
NUMBERS = Numbers(torch.tensor([1.5, -2.0]))


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    backbone = lenet(inputs=3, size=FORM.size)
    head = backbone.classifier(len(NAMES))
    for tensor in head.parameters():
        tensor.data *= 2    # answers that differ
    return Network(backbone, head, mean=[120.0] * 3, deviation=[60.0] * 3).eval()


def answers(network: nn.Module, files: Sequence[Path | Image.Image], *, batch: int = 64,
            task: Task | None = None) -> list[Prediction]:
    return list(predict_pictures(network, task or Classification(NAMES), files, form=FORM,
                        plan=make_plan(device="cpu", threads=1), names={"label": NAMES}, batch=batch))


def scores(one: Prediction) -> list[float]:
    assert one.error is None
    return [dict(one.top(len(NAMES)))[name] for name in NAMES]


def drawn(seed: int, *, width: int = 40, height: int = 32, mode: str = "RGB") -> Image.Image:
    """Soft patches, so that a lossy format keeps them."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def saved(folder: Path, number: int) -> list[Path]:
    paths = [folder / f"{i:02d}.png" for i in range(number)]
    for i, path in enumerate(paths):
        drawn(i).save(path)
    return paths


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def found(sources: list[str | Path], folder: Path) -> list[str]:
    return [str(one.relative_to(folder)) for one in find_pictures(sources)]


def test_files_folders_and_patterns_are_found_in_order_and_once(tmp_path: Path) -> None:
    put(tmp_path, "b.png", "a.JPG", "deep/er/c.tif", "notes.txt", "odd[1].png")
    every = ["a.JPG", "b.png", "deep/er/c.tif", "odd[1].png"]
    assert found([tmp_path], tmp_path) == every
    assert found([tmp_path / "deep", tmp_path / "b.png", tmp_path, str(tmp_path / "deep" / ".." / "b.png")],
                 tmp_path) == ["deep/er/c.tif", "b.png", "a.JPG", "odd[1].png"]
    assert found([f"{tmp_path}/*.png"], tmp_path) == ["b.png", "odd[1].png"]
    assert found([f"{tmp_path}/**/*.[tJ][iP]*"], tmp_path) == ["a.JPG", "deep/er/c.tif"]
    assert found([f"{tmp_path}/d*/**"], tmp_path) == ["deep/er/c.tif"]
    assert found([tmp_path / "odd[1].png"], tmp_path) == ["odd[1].png"]    # a file, not a pattern
    assert found([tmp_path / "notes.txt"], tmp_path) == ["notes.txt"]    # named by the user, so answered


def test_patterns_begin_where_the_user_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "one/a.png", "two[x]/b.png")
    monkeypatch.chdir(tmp_path)
    assert find_pictures(["**/*.png"]) == [Path("one/a.png"), Path("two[x]/b.png")]
    assert find_pictures(["one", str(tmp_path / "one")]) == [Path("one/a.png")]


def test_hidden_files_and_those_of_macos_are_passed_over(tmp_path: Path) -> None:
    put(tmp_path, "a.png", "._a.png", ".hidden.png", ".cache/b.png", "__MACOSX/c.png", "d/._e.png", "d/e.png")
    assert found([tmp_path], tmp_path) == ["a.png", "d/e.png"]
    assert found([f"{tmp_path}/**/*.png"], tmp_path) == ["a.png", "d/e.png"]
    assert found([tmp_path / ".cache"], tmp_path) == [".cache/b.png"]    # named by the user


def test_loops_of_links_end_and_each_folder_counts_once(tmp_path: Path) -> None:
    put(tmp_path, "in/z/x.png")
    put(tmp_path.parent, f"{tmp_path.name}-far/y.png")
    for name, target in (("a", tmp_path / "in"), ("b", tmp_path / "in"), ("z/up", tmp_path / "in" / "z"),
                         ("also", tmp_path / "in" / "z"), ("far", f"{tmp_path}-far")):
        (tmp_path / "in" / name).symlink_to(target)
    (tmp_path / "in" / "self.png").symlink_to("self.png")
    every = ["in/far/y.png", "in/self.png", "in/z/x.png"]
    assert found([tmp_path / "in"], tmp_path) == every
    assert found([f"{tmp_path}/in/**/?.png"], tmp_path) == ["in/far/y.png", "in/z/x.png"]


def test_a_link_that_leads_nowhere_is_answered_with_its_reason(tmp_path: Path, network: nn.Module) -> None:
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    assert [one.error for one in answers(network, find_pictures([tmp_path]))] == ["does not exist"]


@pytest.mark.parametrize(("source", "text"), [
    ("fotos", "there is no file or folder '{}/fotos'. Did you mean 'photos'?"),
    ("photos/a.png/b", "there is no file or folder '{}/photos/a.png/b'."),
    ("absent/a.png", "there is no file or folder '{}/absent/a.png'."),
    ("x" * 300, "there is no file or folder '{}/" + "x" * 300 + "'."),
    ("photos/*.tif", "no file matches '{}/photos/*.tif'"),
    ("empty", "the folder {}/empty holds no picture; accepted are .jpg, .png, .webp"),
])
def test_a_source_without_pictures_is_named(tmp_path: Path, source: str, text: str) -> None:
    put(tmp_path, "photos/a.png", "empty/.a.png", "empty/readme.txt")
    with pytest.raises(DataError) as caught:
        find_pictures([tmp_path / "photos", f"{tmp_path}/{source}"])
    assert str(caught.value).startswith(text.format(tmp_path))


def test_no_source_is_nothing_to_predict() -> None:
    with pytest.raises(DataError, match="nothing to predict: name files, folders or patterns"):
        find_pictures([])


def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "a.png", "closed/b.png")
    real = os.scandir

    def scan(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scan)
    with pytest.raises(DataError, match=r"folder .*closed cannot be read \(Permission denied\): change its"):
        find_pictures([tmp_path])


def test_predictions_are_those_of_the_network_by_hand(tmp_path: Path, network: nn.Module) -> None:
    files = saved(tmp_path, 5)
    with torch.inference_mode():
        wanted = network(torch.stack([decode(file, FORM)[0] for file in files])).softmax(1)
    assert wanted.argmax(1).unique().numel() > 1
    for file, one, row in zip(files, answers(network, files), wanted, strict=True):
        assert one.file == str(file) and scores(one) == pytest.approx(row.tolist(), abs=1e-5)
        assert one.label == NAMES[row.argmax()] and one.score == pytest.approx(row.max().item(), abs=1e-5)
        assert [name for name, _ in one.top(2)] == [NAMES[i] for i in row.argsort(descending=True)[:2]]


def test_unreadable_files_keep_their_places(tmp_path: Path, network: nn.Module) -> None:
    files = saved(tmp_path, 4)
    whole = {one.file: scores(one) for one in answers(network, files)}
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "cut.png").write_bytes(files[0].read_bytes()[:60])
    order = [tmp_path / "empty.png", files[2], files[0], tmp_path / "text.png", tmp_path / "cut.png",
             tmp_path / "absent.png", files[3], files[1], tmp_path / "empty.png"]
    for batch in (1, 2, 3, 5, 64):
        given = answers(network, order, batch=batch)
        assert [one.file for one in given] == [str(file) for file in order]
        for one in given:
            assert (one.error is None) == (one.file in whole)
            if one.error is None:
                assert scores(one) == pytest.approx(whole[one.file], abs=1e-5)
    assert given[0].error == "is empty (0 bytes)" and "is not a picture" in (given[3].error or "")
    assert given[0].label is None and given[0].score is None and given[0].top() == []


def turned(picture: Image.Image) -> tuple[Image.Image, Image.Exif]:
    exif = Image.Exif()
    exif[0x0112] = 8    # stored turned clockwise: shown turned back
    return picture.transpose(Image.Transpose.ROTATE_270), exif


def test_every_kind_of_file_is_answered_as_its_plain_upright_picture(tmp_path: Path, network: nn.Module) -> None:
    plain, gray = drawn(7), drawn(7, mode="L")
    plain.save(tmp_path / "plain.png")
    gray.convert("RGB").save(tmp_path / "gray.png")
    opaque = plain.copy()
    opaque.putalpha(255)
    opaque.save(tmp_path / "opaque.png")
    Image.fromarray(np.array(gray).astype(np.uint16) * 257).save(tmp_path / "deep.png")
    stored, exif = turned(plain)
    stored.save(tmp_path / "turned.png", exif=exif)
    Image.fromarray(255 - np.dstack((np.array(plain), np.full((32, 40), 255, np.uint8))), "CMYK"
                    ).save(tmp_path / "print.tif")    # no black, so the colours are 255 less the inks
    palette = plain.quantize(256)
    palette.save(tmp_path / "palette.png")
    palette.convert("RGB").save(tmp_path / "palette-plain.png")
    given = {Path(one.file).stem: scores(one) for one in answers(network, find_pictures([tmp_path]))}
    assert given["plain"] != pytest.approx(given["gray"], abs=1e-3)
    for name, same in (("opaque", "plain"), ("turned", "plain"), ("print", "plain"), ("deep", "gray"),
                       ("palette", "palette-plain")):
        assert given[name] == pytest.approx(given[same], abs=1e-5), name


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "RGBA", "P", "1", "HSV"])
def test_a_picture_in_memory_is_answered_as_its_file(tmp_path: Path, network: nn.Module, mode: str) -> None:
    picture = drawn(3, mode=mode)
    picture.convert("RGB").save(tmp_path / "a.png")
    first, second = answers(network, [picture, tmp_path / "a.png"])
    assert first.file == "picture 0" and scores(first) == pytest.approx(scores(second), abs=1e-5)


def test_a_turned_picture_in_memory_is_set_upright(tmp_path: Path, network: nn.Module) -> None:
    plain = drawn(7)
    stored, exif = turned(plain)
    stored.save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as opened:
        first, second = answers(network, [opened, plain])
    assert scores(first) == pytest.approx(scores(second), abs=1e-5)


def test_a_picture_in_memory_that_cannot_be_used_has_its_reason(tmp_path: Path, network: nn.Module) -> None:
    (saved(tmp_path, 1)[0]).rename(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:200])
    with Image.open(tmp_path / "cut.png") as cut:
        given = answers(network, [Image.new("F", (9, 9)), drawn(0), Image.new("RGB", (0, 3)), cut])
    assert [one.file for one in given] == [f"picture {i}" for i in range(4)]
    assert "floating-point" in (given[0].error or "") and given[1].error is None
    assert given[2].error == "has no pixels" and (given[3].error or "").startswith("cannot be decoded (")


def label(*likeliest: float) -> Label:
    values = torch.tensor(likeliest)
    return Label(values.argmax(), values)


def test_json_and_rows_hold_as_many_classes_as_are_asked_for() -> None:
    one = Prediction("a.png", {"label": label(0.1, 0.6, 0.25, 0.05)}, {"label": NAMES})
    assert one.as_json(2) == {"file": "a.png", "label": "bee", "scores": {"bee": 0.6, "cat": 0.25}}
    assert list(one.as_json()["scores"]) == ["bee", "cat", "ant", "dog"]
    assert one.row() == {"file": "a.png", "label": "bee", "score": pytest.approx(0.6)}
    assert one.row(2) == {"file": "a.png", "label": "bee", "score": pytest.approx(0.6), "label2": "cat",
                          "score2": pytest.approx(0.25)}
    assert len(one.row(9)) == 1 + 2 * len(NAMES)
    assert one.text(2) == "bee 60.0 %, cat 25.0 %"


def test_tags_and_numbers_and_errors_have_their_own_columns() -> None:
    tags = Prediction("a.png", {"tags": Tags(torch.tensor([1.0, 0, 1, 0]), torch.tensor([0.9, 0.2, 0.7, 0.1]))},
                      {"tags": NAMES})
    assert tags.row(3) == {"file": "a.png", "tags": "ant;cat"} and tags.text() == "ant, cat"
    assert tags.as_json(1)["tags"] == ["ant", "cat"] and tags.label is None
    numbers = Prediction("b.png", {"numbers": NUMBERS}, {"numbers": ("x", "y")})
    assert numbers.row() == {"file": "b.png", "x": 1.5, "y": -2.0} and numbers.text() == "x 1.5, y -2"
    assert numbers.as_json() == {"file": "b.png", "numbers": {"x": 1.5, "y": -2.0}}
    none = Prediction("c.png", {"tags": Tags(torch.zeros(4))}, {"tags": NAMES})
    assert none.text() == "no tag" and none.row()["tags"] == ""
    bad = Prediction("d.png", error="is truncated")
    assert bad.row(3) == bad.as_json(3) == {"file": "d.png", "error": "is truncated"} and bad.text() == "is truncated"


def test_json_csv_and_pictures_are_written(tmp_path: Path, network: nn.Module) -> None:
    files = saved(tmp_path, 2)
    (tmp_path / "bad.png").write_bytes(b"")
    long = tmp_path / f"{'ä' * 120}.png"
    files[0].rename(long)
    given = answers(network, [long, tmp_path / "bad.png", files[1], drawn(5)])
    write_predictions(given, tmp_path / "made" / "out", top=2)
    out = tmp_path / "made" / "out"
    read = json.loads((out / "predictions.json").read_text())
    assert read == [one.as_json(2) for one in given] and len(read[0]["scores"]) == 2
    with open(out / "predictions.csv", encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["file"] for row in table] == [one.file for one in given]
    for row, one in zip(table, given, strict=True):
        assert row["error"] == (one.error or "")
        if one.error is None:
            (first, high), (second, low) = one.top(2)
            assert (row["label"], row["label2"]) == (first, second)
            assert (float(row["score"]), float(row["score2"])) == (round(high, 6), round(low, 6))
    # No picture of what could not be read, nor of one that has no file; nothing half written is left.
    assert sorted(path.name for path in out.glob("[!.]*")) == [
        f"00000-{'ä' * 50}.png", "00002-01.png", "predictions.csv", "predictions.json"]


def test_a_captioned_picture_is_the_picture_enlarged_with_text_under_it(tmp_path: Path) -> None:
    picture = drawn(1, width=28, height=28)
    picture.save(tmp_path / "a.png")
    sheet = caption(tmp_path / "a.png", "bee 60.0 %")
    assert sheet.width == 224 and 224 < sheet.height < 260
    shown = np.array(sheet)
    assert np.array_equal(shown[:224], np.array(picture).repeat(8, 0).repeat(8, 1))
    assert (shown[224:] < 128).any() and (shown[224:] > 250).mean() > 0.5    # dark letters on white
    wide = caption(tmp_path / "a.png", "a\nvery long caption " * 20)
    assert wide.width > 1000 and wide.height == sheet.height


def test_captions_show_what_a_viewer_would(tmp_path: Path) -> None:
    Image.new("RGBA", (40, 40), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (np.array(caption(tmp_path / "clear.png", ""))[:224] == 255).all()
    ramp = np.tile(np.arange(64, dtype=np.uint16) * 64, (64, 1))    # 12 of 16 bits
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    shown = np.array(caption(tmp_path / "deep.png", ""))[:224, :, 0]
    assert shown[9, 0] == 0 and shown[9, -1] == 255 and 120 < shown[9, shown.shape[1] // 2] < 135
    drawn(2, width=3000, height=1500).save(tmp_path / "large.jpg")
    assert caption(tmp_path / "large.jpg", "").width == 1024
    stored, exif = turned(drawn(4, width=60, height=40))
    stored.save(tmp_path / "turned.png", exif=exif)
    assert caption(tmp_path / "turned.png", "").width == 240    # 60 x 4: upright


def test_names_that_are_not_utf8_are_written_with_a_question_mark(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    drawn(0).save(tmp_path / "a.png")
    try:
        (tmp_path / "a.png").rename(tmp_path / name)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    one = Prediction(str(tmp_path / name), {"label": label(0.9, 0.1, 0, 0)}, {"label": ("n\udce9", *NAMES[1:])})
    write_predictions([one], tmp_path / "out")
    assert "caf?.png,n?,0.9,bee,0.1," in (tmp_path / "out" / "predictions.csv").read_text(encoding="utf-8")


def refusal(found: list[Prediction], folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        write_predictions(found, folder)
    assert "\n" not in str(caught.value) and not {"train.runs", "--resume"} & set(str(caught.value).split())
    return str(caught.value)


def test_a_folder_that_cannot_be_made_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for folder, why in ((tmp_path / "file" / "sub", "Not a directory"),
                        (tmp_path / ("x" * 300), "File name too long")):
        assert refusal([], folder) == f"cannot write into {folder} ({why}): choose another folder with predict.out"
    assert refusal([], tmp_path / "file") == \
        f"{tmp_path / 'file'} is a file, and results go into a folder: choose another folder with predict.out"


def test_a_data_set_keeps_its_truth_and_earlier_results_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "set" / "labels").mkdir(parents=True)
    (tmp_path / "set" / "labels" / "a.txt").write_text("0 .5 .5 .2 .2")
    assert "holds what lensmith did not write (labels)" in refusal([], tmp_path / "set")
    assert [path.name for path in (tmp_path / "set").rglob("*")] == ["labels", "a.txt"]
    drawn(0).save(tmp_path / "a.png")
    for score in (0.9, 0.8):
        write_predictions([Prediction(str(tmp_path / "a.png"), {"label": label(score, 0.1, 0, 0)}, {"label": NAMES})],
                          tmp_path / "out")
        assert f",{score}," in (tmp_path / "out" / "predictions.csv").read_text()
    assert find_pictures([tmp_path]) == [tmp_path / "a.png"]    # and the drawn one is no picture to predict
    assert find_pictures([tmp_path / "out"]) == [tmp_path / "out" / "00000-a.png"]


def test_a_picture_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn(0).save(tmp_path / "a.png")
    one = Prediction(str(tmp_path / "a.png"), {"label": label(0.9, 0.1, 0, 0)}, {"label": NAMES})
    write_predictions([one], tmp_path / "out")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}

    class Breaking:
        """A captioned picture that fills the disk."""

        def save(self, path: Path, **settings: object) -> None:
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(write_files, "caption", lambda source, text: Breaking())
    told = refusal([one], tmp_path / "out")
    assert told.startswith("the disk is full: ") and told.endswith("or choose another folder with predict.out")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_a_picture_that_has_gone_since_is_named(tmp_path: Path) -> None:
    one = Prediction(str(tmp_path / "gone.png"), {"label": label(0.9, 0.1, 0, 0)}, {"label": NAMES})
    assert refusal([one], tmp_path / "out") == f"{tmp_path / 'gone.png'} does not exist"
    assert (tmp_path / "out" / "predictions.json").exists()


def test_text_that_a_spreadsheet_would_run_is_guarded(tmp_path: Path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    names = ("=cmd|'!A1", *NAMES[1:])
    write_predictions([Prediction(str(tmp_path / "a.png"), {"label": label(0.9, 0.1, 0, 0)}, {"label": names})],
                      tmp_path / "out")
    assert ",'=cmd|'!A1,0.9," in (tmp_path / "out" / "predictions.csv").read_text()
