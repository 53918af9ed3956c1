"""Which of several runs is better, and whether that is more than noise: sentences and numbers of runs by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
from statsmodels.stats.contingency_tables import mcnemar

from lensmith.base.errors import ModelError, UserError
from lensmith.study.compare.comparison import compared
from lensmith.study.compare.costs import cost_rows
from lensmith.study.compare.page import write_page
from lensmith.study.compare.run_folders import run_folders
from lensmith.tasks.metrics.by_picture.boxes import COLUMNS as BOX_COLUMNS
from tests.study.compare.hand_written_runs import labels, write_run

COUNT = 200


def truth(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 3, COUNT)


def right(number: int) -> np.ndarray:
    """Right but for the first pictures."""
    return np.arange(COUNT) >= COUNT - number


def label_run(folder: Path, number: int, **said: object) -> Path:
    return write_run(folder, labels(truth(), right(number)), number / COUNT, pictures=COUNT, **said)


def test_two_runs_on_the_same_pictures(tmp_path: Path):
    better = label_run(tmp_path / "a", 180)
    worse = label_run(tmp_path / "b", 150, settings={"backbone": {"name": "lenet"}})
    found = compared([worse, better])
    verdict = found.verdicts[0]
    assert [standing.name for standing in verdict.standings] == [str(better), str(worse)]
    expected = mcnemar([[0, 30], [0, 0]], exact=True).pvalue / 2    # of 30 to 0 the mid-p value is half the exact one
    assert verdict.standings[1].p == pytest.approx(expected)
    # 30 of 202 +- 1.96 sqrt(31 - 30^2 / 202) / 202, with half a picture more in each cell
    assert verdict.sentences[0] == (
        f"{better} is ahead of {worse} in accuracy_top1 by 15.00 points on the same 200 pictures (95 %: 9.85 to "
        "19.85). That is more than noise: p < 0.001, McNemar's test: 30 pictures that only the first gets right, 0 "
        "only the other")
    assert "run.seed=1" in verdict.sentences[1] and len(verdict.sentences) == 2
    assert found.settings == (("backbone.name", ("lenet", "csp")),)
    two = found.two[0]
    assert (two.first_better, two.second_better, len(two.better), len(two.worse)) == (30, 0, 12, 0)
    assert two.better[0].file.startswith("/pets/") and two.better[0].first == f"{two.better[0].truth} (90%)"
    plain = json.loads(json.dumps(found.as_json()))
    assert plain["verdicts"][0]["standings"][1]["behind"]["value"] == pytest.approx(0.15)
    assert plain["settings"] == {"backbone.name": ["lenet", "csp"]} and plain["two"][0]["classes"]


def test_what_noise_may_make_is_said_with_what_would_decide(tmp_path: Path):
    one = write_run(tmp_path / "a", labels(truth(), np.arange(COUNT) % 10 != 0), 0.9, pictures=COUNT)
    other = write_run(tmp_path / "b", labels(truth(), np.arange(COUNT) % 9 != 0), 0.89, pictures=COUNT,
                      settings={"backbone": {"name": "lenet"}})
    sentence = compared([one, other]).verdicts[0].sentences[0]
    assert "Noise alone may make that: p = " in sentence and "such pictures would show it (power 80 %)" in sentence


def test_equal_runs(tmp_path: Path):
    runs = [label_run(tmp_path / name, 150, settings={"backbone": {"name": name}}) for name in ("a", "b")]
    verdict = compared(runs).verdicts[0]
    assert "have the same accuracy_top1" in verdict.sentences[0] and verdict.standings[1].p == 1


def test_settings_over_seeds(tmp_path: Path):
    runs = []
    for name, middle in (("plain", 150), ("better", 170), ("other", 151)):
        for seed, more in enumerate((-2, 0, 3)):
            settings = {"backbone": {"name": name}, "run": {"seed": seed, "name": f"{name}{seed}"}}
            runs.append(label_run(tmp_path / f"{name}-{seed}", middle + more, settings=settings))
    found = compared(runs)
    assert [len(group) for group in found.groups] == [3, 3, 3]
    assert found.settings == (("backbone.name", ("plain", "better", "other")),)
    verdict = found.verdicts[0]
    assert [len(standing.runs) for standing in verdict.standings] == [3, 3, 3]
    assert verdict.standings[0].name == f"{runs[3]} and 2 other seeds"
    assert verdict.sentences[0].startswith(f"{runs[3]} and 2 other seeds is ahead of {runs[6]} and 2 other seeds in "
                                           "accuracy_top1 by 9.50 points in the mean over 3 and 3 runs (95 %: ")
    assert "more than noise" in verdict.sentences[0] and "Welch's t-test with Holm's correction" in verdict.sentences[0]
    assert verdict.sentences[1] == (f"Of the 2 others 2 are worse than {runs[3]} and 2 other seeds by more than noise, "
                                    "with Holm's correction for 3 pairs")
    close = compared([*runs[:3], *runs[6:]]).verdicts[0].sentences[0]
    assert "Noise alone may make that" in close and "runs of each would show it (power 80 %)" in close
    one = compared(runs[:3]).verdicts[0]
    assert one.sentences == ("All are one recipe with 3 seeds: accuracy_top1 is 75.17 % in the mean (72.04 to 78.29, "
                             "95 %)",)
    single = compared([*runs[:3], runs[3]]).verdicts[0].sentences[0]
    assert "Student's t-test" in single


def test_the_same_seed_twice_is_no_second_seed(tmp_path: Path):
    assert len(compared([label_run(tmp_path / name, 150) for name in ("a", "b")]).groups) == 2


def test_runs_without_answers_and_on_other_pictures(tmp_path: Path):
    one, old = label_run(tmp_path / "a", 180), write_run(tmp_path / "old", None, 0.5, settings={"task": {"focal": 1.0}})
    assert compared([one, old]).verdicts[0].sentences == (
        f"{old} keeps no answers, as runs of earlier versions do: without them nothing can be said of the same "
        "pictures. The same command with --measure measures again",
        f"{one} is ahead of {old} in accuracy_top1 by 40.00 points; whether that is more than noise cannot be told")
    elsewhere = write_run(tmp_path / "c", labels(truth(), right(100)), 0.5, pictures=COUNT,
                          files=[f"/other/{row}.png" for row in range(COUNT)])
    assert compared([one, elsewhere]).verdicts[0].sentences[0] == (
        "No picture was answered by all of these runs: --data DIR measures all of them on the same")
    half = write_run(tmp_path / "d", labels(truth(), right(100)), 0.5, pictures=COUNT,
                     files=[f"/pets/{row + 100}.png" for row in range(COUNT)])
    texts = compared([one, half]).verdicts[0].sentences
    assert texts[0].startswith("The scores here are those on the 100 pictures that all of the runs answered; they were "
                               "measured on up to 200.") and "another truth in some run" in texts[1]


def test_by_another_metric_and_by_one_that_there_is_not(tmp_path: Path):
    runs = [label_run(tmp_path / name, number, settings={"backbone": {"name": name}})
            for name, number in (("a", 180), ("b", 120))]
    for run in runs:
        metrics = json.loads((run / "metrics.json").read_text())
        metrics["test"] |= {"macro_f1": 0.5, "mine": 0.3}
        metrics["test"]["details"]["metrics"] = {"mine": {"shown": "number", "better": "more"}}
        (run / "metrics.json").write_text(json.dumps(metrics))
    verdict = compared(runs, metric="macro_f1").verdicts[0]
    assert "paired bootstrap" in verdict.sentences[0] and verdict.standings[1].p < 0.001
    assert "cannot be told from what is kept of each picture" in compared(runs, metric="mine").verdicts[0].sentences[0]
    with pytest.raises(UserError, match=r"no two of these runs have the metric 'mAP' \(--metric\)\. Known: "
                                        r"accuracy_top1, macro_f1, mine"):
        compared(runs, metric="mAP")


def test_boxes_are_compared_by_samples_of_the_pictures(tmp_path: Path):
    runs = []
    for name, wrong in (("a", 4), ("b", 40)):
        image = np.arange(COUNT)
        met = np.zeros((COUNT, 5), np.uint8)
        met[wrong:] = 255
        columns = {"found_image": image, "score": np.full(COUNT, 0.9), "found_class": image % 3, "rank": image * 0,
                   "right": met, "wrong": 255 - met, "true_image": image, "true_class": image % 3,
                   "counts": np.full(COUNT, 15)}
        columns = {key: column.astype(BOX_COLUMNS[key].dtype) for key, column in columns.items()}
        runs.append(write_run(tmp_path / name, columns, 0.5, kind="boxes", pictures=COUNT,
                              settings={"backbone": {"name": name}}))
    verdict = compared(runs).verdicts[0]
    assert verdict.metric == "mAP50-95" and "paired bootstrap" in verdict.sentences[0]
    assert "more than noise" in verdict.sentences[0]


def test_the_front_of_cost_and_score(tmp_path: Path):
    said = (("a", 180, 30.0, 8.0), ("b", 150, 10.0, 9.0), ("c", 140, 20.0, 7.0))
    runs = [label_run(tmp_path / name, number, seconds=seconds, settings={"backbone": {"name": name}},
                      cost={"multiply_adds": 2_000_000, "milliseconds": latency, "memory_bytes": None})
            for name, number, seconds, latency in said]
    found = compared(runs)
    front = {Path(row.run).name: row.on_front for row in found.costs}
    assert front == {"a": ("seconds of training", "parameters", "million multiply-adds", "ms a picture"),
                     "b": ("seconds of training",), "c": ("ms a picture",)}
    assert found.costs[0].costs["million multiply-adds"] == 2
    assert cost_rows(found.runs, [3, 1, 2], more_is_better=False)[1].on_front[0] == "seconds of training"
    assert found.tables[-1].rows[1][2] == "10 *"


def test_the_page_has_charts_sentences_and_pictures(tmp_path: Path):
    from PIL import Image

    files = [str(tmp_path / f"{row}.png") for row in range(COUNT)]
    for file in files[:60]:
        Image.new("RGB", (20, 12), "red").save(file)
    (tmp_path / "21.png").write_text("no picture")
    runs = [label_run(tmp_path / name, number, files=files, settings={"backbone": {"name": name}})
            for name, number in (("a", 180), ("b", 150))]
    write_page(compared(runs), tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert page.count("<figure>") == 12 and 1 <= page.count("data:image/jpeg") <= 12
    assert "That is more than noise" in page and "curves-pictures-chart" in page and "cost-seconds-chart" in page
    assert "Pictures that one gets right and the other wrong: label" in page


def test_runs_of_different_tasks(tmp_path: Path):
    one = label_run(tmp_path / "a", 180)
    other = write_run(tmp_path / "b", None, 0.5, kind="numbers", pictures=COUNT)
    with pytest.raises(UserError, match=r"a learned label, and none of the other runs did \(numbers\): compare runs of "
                                        r"one task"):
        compared([one, other])


def test_a_run_that_plays(tmp_path: Path):
    runs = [label_run(tmp_path / name, 180) for name in ("a", "b")]
    (runs[1] / "recipe.toml").write_text('[world]\nname = "maze"\n[algorithm]\nname = "dqn"\n')
    with pytest.raises(UserError, match=r"b has learned to play, and what is compared is what runs answer of pictures"):
        compared(runs)


def test_damaged_answers_are_one_line(tmp_path: Path):
    runs = [label_run(tmp_path / name, 180) for name in ("a", "b")]
    (runs[1] / "answers.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelError, match=r"b.answers\.safetensors is damaged .* writes it again") as caught:
        compared(runs)
    assert "\n" not in str(caught.value)


def test_patterns(tmp_path: Path):
    runs = [label_run(tmp_path / name, 180) for name in ("pets-1", "pets-2")]
    unfinished = label_run(tmp_path / "pets-3", 180)
    (unfinished / "metrics.json").unlink()
    (tmp_path / "pets-4").mkdir()
    folders, notes = run_folders([str(tmp_path / "pets-*"), runs[0]][:1])
    assert folders == runs
    assert notes == [f"1 run that '{tmp_path}/pets-*' matches was left out, not being trained to an end: {unfinished}"]
    for pattern, text in ((f"{tmp_path}/cars-*", r"no measured run matches '.*cars-\*': `lensmith list runs` shows"),
                          (f"{tmp_path}/pest-*", r"no measured run matches .*Did you mean .*pets"),
                          (f"{tmp_path}/pets-3*", r"no measured run matches .*pets-3 was not trained to its end; "
                                                  r"lensmith train --resume .*pets-3 goes on with it")):
        with pytest.raises(UserError, match=text):
            run_folders([pattern])
