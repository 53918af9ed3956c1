"""Runs side by side, out of run folders written by hand."""

import json
from pathlib import Path
from typing import Any

import pytest

from lensmith.base.errors import DataError, ModelError, UserError
from lensmith.study.compare.comparison import compared
from lensmith.study.compare.page import write_page


def run(folder: Path, parts: dict[str, tuple[str, str, dict[str, float]]], *, seconds: float = 10.0, epochs: int = 5,
        rows: str = "0-9", task: str = "multitask", data: str = "pets", split: str = "test",
        lists: Any = None) -> Path:
    """A run folder; `parts`: name -> (kind, the metric that ranks it, its metrics)."""
    folder.mkdir(parents=True)
    alone = task != "multitask"
    found: dict[str, Any] = {} if alone else {"joined": 0.5}
    for name, (_, _, metrics) in parts.items():
        found |= {key if alone else f"{name}/{key}": value for key, value in metrics.items()}
    found |= {"loss": 1.0, "count": 10, "intervals": {}, "details": {} if alone else {
        "parts": {name: {"kind": kind, "score": score} for name, (kind, score, _) in parts.items()}}}
    files = {"train": {"file": data, "rows": "20-99"}, split: {"file": data, "rows": rows}} if lists is None else lists
    (folder / "metrics.json").write_text(json.dumps({split: found}))
    (folder / "recipe.toml").write_text(f'[task]\nname = "{task}"\n[backbone]\nname = "csp"\n')
    (folder / "run.json").write_text(json.dumps({
        "epochs": epochs, "seconds": seconds, "score_name": next(iter(parts.values()))[1] if alone else "joined"}))
    (folder / "data.json").write_text(json.dumps({"name": data, "classes": {name: ["a", "b"] for name in parts},
                                                  "files": files}))
    return folder


LABEL = ("label", "accuracy_top1", {"accuracy_top1": 0.9, "macro_f1": 0.8})
BOXES = ("boxes", "mAP50-95", {"mAP50-95": 0.5, "mAP50": 0.75})


@pytest.fixture
def joint(tmp_path: Path) -> Path:
    return run(tmp_path / "joint", {"species": LABEL, "breed": ("label", "accuracy_top1", {"accuracy_top1": 0.7}),
                                    "head": BOXES}, seconds=20.0)


def test_a_part_is_compared_with_the_run_that_learned_it_alone(joint: Path, tmp_path: Path):
    species = run(tmp_path / "species", {
        "species": ("label", "accuracy_top1", {"accuracy_top1": 0.95, "macro_f1": 0.7})}, seconds=12.0)
    boxes = run(tmp_path / "boxes", {"boxes": ("boxes", "mAP50-95", {"mAP50-95": 0.25, "mAR": 0.5})}, task="detection",
                seconds=18.0)
    found = compared([joint, species, boxes])
    gained = {(row["part"], row["metric"]): row["gained"] for row in found.shared}
    assert gained == pytest.approx({("species", "accuracy_top1"): -0.05, ("species", "macro_f1"): 0.1,
                                    ("head", "mAP50-95"): 0.25})    # the only boxes there are: the detector's
    assert found.notes[0] == (f"{joint} trained its 3 parts in 20.0 s; the runs of species, head alone took 30.0 s "
                              "together, 1.50 times as long (of breed there is no run alone)")
    assert len(found.notes) == 1
    titles = [table.title for table in found.tables]
    assert titles == ["Runs", "Settings that differ", "Which is better: species by accuracy_top1",
                      "Which is better: head by mAP50-95", "What sharing one network gained (joint minus alone)",
                      "species", "breed", "head", "boxes",
                      "Cost beside score; * where no other run is both better and cheaper"]
    assert found.tables[0].rows[0] == (str(joint), "species, breed, head", "csp", "5", "20.0", "test")
    assert found.tables[4].rows[0] == ("species", "accuracy_top1", "90.00 %", "95.00 %", "-0.0500", str(species))
    plain = json.loads(json.dumps(found.as_json()))
    assert plain["runs"][1]["metrics"] == {"species/accuracy_top1": 0.95, "species/macro_f1": 0.7}


def test_one_of_two_labels_is_not_guessed(joint: Path, tmp_path: Path):
    alone = run(tmp_path / "alone", {"label": LABEL}, task="classification")
    assert compared([joint, alone]).shared == ()


def test_other_splits_and_other_epochs_are_told(joint: Path, tmp_path: Path):
    other = run(tmp_path / "other", {"species": LABEL}, rows="5-12 15", epochs=7)
    notes = compared([joint, other]).notes
    assert notes[1] == (f"{other} was measured on other pictures than {joint}: 5 of 9 in common, so that a difference "
                        "may come from them")
    assert notes[2] == f"{other} trained for 7 epochs, {joint} for 5"


def test_numbers_that_are_better_small_are_told(tmp_path: Path):
    runs = [run(tmp_path / name, {"age": ("numbers", "R2", {"MAE": 2.0, "R2": 0.5})}) for name in ("one", "two")]
    assert compared(runs).notes == ("Of MAE less is better, of all others more",)


def test_the_page_holds_the_tables_and_escapes_what_it_shows(joint: Path, tmp_path: Path):
    odd = run(tmp_path / "<b>odd", {"species": LABEL})
    write_page(compared([joint, odd]), tmp_path / "new" / "page.html")
    page = (tmp_path / "new" / "page.html").read_text()
    assert "&lt;b&gt;odd" in page and "<b>" not in page and "-0.0500" not in page and "+0.0000" in page
    write_page(compared([joint, odd, run(tmp_path / "third", {"species": LABEL})]), tmp_path / "new" / "page.html")
    longer = (tmp_path / "new" / "page.html").read_text()
    assert len(longer) > len(page)    # a page as it was written is replaced, and nothing else is
    for text in ("notes of mine", longer.replace("odd", "my own words"), ""):
        (tmp_path / "new" / "page.html").write_text(text)
        with pytest.raises(UserError, match=r"page.html is there and is no page of lensmith compare.* compare.out"):
            write_page(compared([joint, odd]), tmp_path / "new" / "page.html")
        assert (tmp_path / "new" / "page.html").read_text() == text
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file.*choose another file with compare.out"):
        write_page(compared([joint, odd]), tmp_path / "file" / "page.html")


def test_what_cannot_be_compared_is_told(joint: Path, tmp_path: Path):
    far = run(tmp_path / "far", {"species": LABEL}, data="cars")
    for folders, text in (([joint], r"takes two runs or more: lensmith compare RUN RUN"),
                          ([joint, far, joint], r"joint is named twice: name each run once"),
                          ([joint, far], r"far is on other pictures \(cars\) than .*joint \(pets\): compare runs on "
                                         r"the same data")):
        with pytest.raises(UserError, match=text):
            compared(folders)
    (far / "metrics.json").unlink()
    with pytest.raises(DataError, match=r"far has no metrics\.json with a test or valid split: train it to its end "
                                        r"with lensmith train --resume"):
        compared([joint, far])
    with pytest.raises(ModelError, match=r"there is no run folder"):
        compared([joint, tmp_path / "nowhere"])
