"""Which errors are kept, in which order, and how their pictures look."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lensmith.base.errors import UserError
from lensmith.base.pictures import Place
from lensmith.data.sources.sample import Batch
from lensmith.study.report.worst_errors import WorstErrors
from lensmith.values.boxes import Boxes
from lensmith.values.drawing import colour_of
from lensmith.values.labels import Label, Numbers, Tags
from lensmith.values.semantic_mask import Mask
from lensmith.values.value import Value

NAMES = ("ant", "bee", "cat")


def batches(target: str, truth: Value, found: Value, pictures: int, *,
            size: int = 5) -> list[tuple[Batch, dict[str, Value]]]:
    """Pictures whose every pixel is their own number, so that a saved one can be recognised."""
    images = torch.arange(pictures, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 8, 8).contiguous()
    parts = [torch.arange(start, min(start + size, pictures)) for start in range(0, pictures, size)]
    return [(Batch(images[rows], {target: truth.take(rows)}, [Place(f"{i}.png", (8, 8)) for i in rows.tolist()], rows),
             {target: found.take(rows)}) for rows in parts]


def watched(target: str, truth: Value, found: Value, pictures: int, *, keep: int = 24) -> WorstErrors:
    worst = WorstErrors((target,), {target: NAMES}, keep=keep)
    for batch, predictions in batches(target, truth, found, pictures):
        worst.update(batch, predictions)
    return worst


def drawn_labels(pictures: int) -> tuple[Label, Label]:
    draw = torch.Generator().manual_seed(0)
    scores = torch.rand(pictures, 3, generator=draw).softmax(1)
    return Label(torch.arange(pictures) % 3), Label(scores.argmax(1), scores)


def test_labels_are_kept_by_how_sure_the_wrong_answer_was(tmp_path: Path) -> None:
    truth, found = drawn_labels(60)
    rows = watched("label", truth, found, 60, keep=7).save(tmp_path)
    wanted = sorted((i for i in range(60) if truth.index[i] != found.index[i]),
                    key=lambda i: (-found.scores[i].max().item(), i))[:7]
    assert [row["file"] for row in rows] == [f"{i}.png" for i in wanted]
    first = wanted[0]
    assert rows[0] == {"picture": "worst-00.png", "file": f"{first}.png", "target": "label", "kind": "label",
                       "truth": NAMES[truth.index[first]], "score": pytest.approx(found.scores[first].max().item()),
                       "predicted": f"{NAMES[found.index[first]]} ({found.scores[first].max().item():.0%})"}
    for i, row in zip(wanted, rows, strict=True):
        saved = np.array(Image.open(tmp_path / row["picture"]))
        assert saved.shape == (96, 96) and (saved == i).all()


def test_only_errors_are_kept(tmp_path: Path) -> None:
    truth = Label(torch.tensor([0, 1, -1]))
    assert watched("label", truth, Label(torch.tensor([0, 2, 2])), 3).save(tmp_path)[0]["file"] == "1.png"
    tags = Tags(torch.tensor([[1.0, 0, 0], [0, 1, 0]]))
    assert watched("tags", tags, Tags(tags.present, torch.full((2, 3), 0.5)), 2).save(tmp_path) == []
    numbers = Numbers(torch.randn(4, 3))
    assert watched("numbers", numbers, numbers, 4).save(tmp_path) == []


def test_equal_errors_keep_the_order_in_which_they_came(tmp_path: Path) -> None:
    rows = watched("label", Label(torch.zeros(40, dtype=torch.int64)), Label(torch.ones(40, dtype=torch.int64)), 40,
                   keep=8).save(tmp_path)
    assert [row["file"] for row in rows] == [f"{i}.png" for i in range(8)]


def test_tags_are_kept_by_their_summed_error(tmp_path: Path) -> None:
    draw = torch.Generator().manual_seed(1)
    scores = torch.rand(40, 3, generator=draw)
    present = (torch.rand(40, 3, generator=draw) < 0.5).float()
    present[5, 0] = float("nan")
    found = Tags((scores >= 0.5).float(), scores)
    rows = watched("tags", Tags(present), found, 40, keep=6).save(tmp_path)
    errors = np.nansum(np.abs(scores.numpy() - present.numpy()), 1)
    wrong = [i for i in range(40) if any(t == t and t != s for t, s in zip(present[i].tolist(),
                                                                         found.present[i].tolist(), strict=True))]
    wanted = sorted(wrong, key=lambda i: -errors[i])[:6]
    assert [row["file"] for row in rows] == [f"{i}.png" for i in wanted]
    assert rows[0]["score"] == pytest.approx(errors[wanted[0]], rel=1e-5)
    said = [name for name, on in zip(NAMES, found.present[wanted[0]].tolist(), strict=True) if on]
    assert rows[0]["predicted"] == (", ".join(said) or "none")


def test_numbers_are_kept_by_their_error_in_standard_deviations(tmp_path: Path) -> None:
    draw = torch.Generator().manual_seed(2)
    unit = torch.tensor([1.0, 1000.0, 1.0])
    truth = torch.randn(50, 3, generator=draw) * unit
    truth[:, 2] = 4    # constant: measured by its own unit
    truth[7, 1] = float("nan")
    found = truth.nan_to_num() + torch.randn(50, 3, generator=draw) * unit * torch.tensor([0.3, 0.3, 0.2])
    rows = watched("numbers", Numbers(truth), Numbers(found), 50, keep=9).save(tmp_path)
    deviation = np.nanstd(truth.double().numpy(), axis=0)
    deviation[2] = 1
    scores = np.nanmax(np.abs((found - truth).double().numpy()) / deviation, axis=1)
    wanted = np.argsort(-scores)[:9]
    assert [row["file"] for row in rows] == [f"{i}.png" for i in wanted]
    assert [row["score"] for row in rows] == pytest.approx(scores[wanted], rel=1e-5)
    first = wanted[0]
    assert rows[0]["truth"] == ", ".join(f"{n} {v:.4g}" for n, v in zip(NAMES, truth[first].tolist(), strict=True))


def test_several_targets_each_have_their_rows(tmp_path: Path) -> None:
    worst = WorstErrors(("label", "numbers"), {"label": NAMES, "numbers": NAMES}, keep=2)
    targets = {"label": Label(torch.zeros(3, dtype=torch.int64)), "numbers": Numbers(torch.randn(3, 3))}
    found = {"label": Label(torch.tensor([1, 0, 0])), "numbers": Numbers(torch.zeros(3, 3))}
    worst.update(Batch(torch.zeros(3, 1, 8, 8, dtype=torch.uint8), targets), found)
    rows = worst.save(tmp_path, name="test-worst")
    assert [row["target"] for row in rows] == ["label", "numbers", "numbers"]
    assert [row["picture"] for row in rows] == [f"test-worst-0{i}.png" for i in range(3)]
    assert rows[0]["file"] == "picture 0"    # a batch of the user's own may have no places
    assert {path.name for path in tmp_path.iterdir()} == {row["picture"] for row in rows}


def test_the_same_evaluation_gives_the_same_files(tmp_path: Path) -> None:
    truth, found = drawn_labels(30)
    rows = [watched("label", truth, found, 30).save(tmp_path / name) for name in ("a", "b")]
    assert rows[0] == rows[1]
    for row in rows[0]:
        assert (tmp_path / "a" / row["picture"]).read_bytes() == (tmp_path / "b" / row["picture"]).read_bytes()


def test_no_more_pictures_are_held_than_are_kept() -> None:
    worst = WorstErrors(("label",), {"label": NAMES}, keep=3)
    for batch, predictions in batches("label", Label(torch.zeros(200, dtype=torch.int64)),
                                      Label(torch.ones(200, dtype=torch.int64)), 200, size=50):
        worst.update(batch, predictions)
        kept = worst.kept["label", 0]
        assert len(kept) <= 3 and all(error.image.untyped_storage().nbytes() == 64 for error in kept)


def test_deep_pictures_are_saved_too(tmp_path: Path) -> None:
    worst = WorstErrors(("label",), {"label": NAMES})
    images = torch.full((1, 1, 8, 8), 65535, dtype=torch.int32).to(torch.uint16)
    worst.update(Batch(images, {"label": Label(torch.tensor([0]))}), {"label": Label(torch.tensor([1]))})
    assert (np.array(Image.open(tmp_path / worst.save(tmp_path)[0]["picture"])) == 255).all()


def test_pictures_of_a_12_bit_camera_are_not_black(tmp_path: Path) -> None:
    worst = WorstErrors(("label",), {"label": NAMES})
    images = (torch.arange(64, dtype=torch.int32).view(1, 1, 8, 8) * 65).to(torch.uint16)
    worst.update(Batch(images, {"label": Label(torch.tensor([0]))}), {"label": Label(torch.tensor([1]))})
    saved = np.array(Image.open(tmp_path / worst.save(tmp_path)[0]["picture"]))
    assert saved.min() == 0 and saved.max() == 255


def test_a_value_without_a_picture_of_its_errors_is_refused() -> None:
    truth, found = {"label": Label(torch.zeros(1).long())}, {"label": Numbers(torch.zeros(1, 3))}
    with pytest.raises(UserError, match="the worst errors of label targets cannot be shown: only those of labels"):
        worst = WorstErrors(("label",), {"label": NAMES})
        worst.update(Batch(torch.zeros(1, 1, 8, 8, dtype=torch.uint8), truth), found)


def test_masks_are_kept_by_the_share_of_wrong_pixels_and_shown_side_by_side(tmp_path: Path) -> None:
    truth = torch.zeros(4, 8, 8, dtype=torch.int64)
    truth[:, 4:] = 1
    truth[1, :, :4] = 255
    found = truth.clone()
    found[0, :, :2] = 2    # 16 of 64
    found[1, :, :2], found[1, :, 7] = 2, 2    # 8 of 32, and void, which does not count
    found[2, :, 5:] = 2    # 24 of 64
    rows = watched("mask", Mask(truth), Mask(found.to(torch.uint8)), 4).save(tmp_path)
    assert [(row["file"], row["score"]) for row in rows] == [("2.png", pytest.approx(3 / 8)), ("0.png", 0.25),
                                                             ("1.png", 0.25)]
    assert rows[0]["truth"] == "ant 50 %, bee 50 %" and rows[0]["predicted"] == "cat 38 %, ant 31 %, bee 31 %"
    shown = np.array(Image.open(tmp_path / rows[2]["picture"]))
    assert shown.shape == (192, 3 * 192 + 12, 3)
    gap, left, middle, right = 6, shown[:, :192], shown[:, 198:390], shown[:, 396:]
    assert (shown[:, 192 : 192 + gap] == 255).all() and (left == 1).all()
    assert (middle[100:, :90] == 1).all() and (right[100:, :90] == 1).all()    # void, below the names
    assert not (middle[100:, 110:] == 1).any() and (middle != right).any()


def boxed() -> tuple[Boxes, Boxes]:
    """Five pictures: right, one missed, two found in vain, nothing there and nothing found, a crowd."""
    truth = Boxes(torch.tensor([[1.0, 1, 4, 4], [1, 1, 4, 4], [4, 4, 8, 8], [0, 0, 8, 8]]), torch.tensor([0, 0, 1, 2]),
                  image=torch.tensor([0, 1, 1, 4]), crowd=torch.tensor([False, False, False, True]))
    found = Boxes(torch.tensor([[1.0, 1, 4, 4], [1, 1, 4, 4], [4, 4, 8, 8], [5, 5, 8, 8], [0, 0, 3, 3], [1, 1, 3, 3.]]),
                  torch.tensor([0, 0, 2, 1, 0, 2]), torch.tensor([0.9, 0.9, 0.2, 0.8, 0.7, 0.9]),
                  image=torch.tensor([0, 1, 1, 2, 2, 4]))
    return truth, found


def test_boxes_are_kept_by_what_was_missed_and_found_in_vain(tmp_path: Path) -> None:
    truth, found = boxed()
    for size in (2, 5):    # whatever the batches
        worst = WorstErrors(("boxes",), {"boxes": NAMES})
        for batch, predictions in batches("boxes", truth, found, 5, size=size):
            worst.update(batch, predictions)
        rows = worst.save(tmp_path)
        assert [(row["file"], row["truth"], row["predicted"]) for row in rows] == [
            ("2.png", "nothing", "1 ant, 1 bee"), ("1.png", "1 ant, 1 bee", "1 ant")]
        assert [row["score"] for row in rows] == pytest.approx([1.5, 1.0])


def test_the_truth_is_drawn_on_the_left_and_what_was_found_on_the_right(tmp_path: Path) -> None:
    truth, found = boxed()
    row = watched("boxes", truth, found, 5).save(tmp_path)[1]
    shown = np.array(Image.open(tmp_path / row["picture"]))
    assert shown.shape == (192, 2 * 192 + 6, 3) and (shown[:, 192:198] == 255).all()
    left, right = shown[:, :192], shown[:, 198:]
    assert (left[24:96, 24] == colour_of(0)).all() and (right[24:96, 24] == colour_of(0)).all()    # 8 pixels made 192
    assert (left[191, 110:] == colour_of(1)).all() and (right[191, 110:] == 1).all()    # a score of 0.2 is not shown
