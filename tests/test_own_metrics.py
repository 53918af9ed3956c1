"""A metric of a user's own from a file to metrics.json, terminal, report and comparison; and one added to the table."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.metrics import cohen_kappa_score, log_loss

import lensmith
from lensmith.engine.run_folder import Run
from lensmith.recipe.other_data import read_data
from lensmith.tasks.metrics import METRICS
from lensmith.tasks.metrics.metric import Metric
from lensmith.tasks.metrics.own import not_measured
from lensmith.tasks.metrics.rates import fraction_right

Command = Callable[..., Any]
FILE = '''
from lensmith.metrics import Metric


def kappa(truth, predicted):
    from sklearn.metrics import cohen_kappa_score
    return cohen_kappa_score(truth, predicted)


def surprise(truth, predicted, *, scores, classes):
    assert scores.shape == (len(truth), len(classes))
    return -scores.gather(1, truth[:, None]).clamp(min=1e-9).log().mean()


wrong = Metric(lambda truth, predicted: (truth != predicted).double().mean(), shown="percent", better="less")
'''
SHAPES = ["train", "shapes", "data.count=200", "--backbone", "simple", "--task", "classification", "--epochs", "1",
          "--plan", "exact"]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "my_metrics.py"
    path.write_text(FILE)
    return path


def asked(*names: str) -> str:
    return "task.metrics=" + json.dumps([f"my_metrics.py:{name}" for name in names])


def test_a_metric_in_a_file_is_measured_shown_compared_and_asks_for_trust(command: Command, file: Path) -> None:
    ended = command(*SHAPES, asked("kappa", "surprise", "wrong"), "--name", "first")
    assert ended.code == 0, ended.err
    run = Path("runs/first")
    measured = json.loads((run / "metrics.json").read_text())["test"]
    assert list(measured)[:6] == ["accuracy_top1", "macro_f1", "balanced_accuracy", "kappa", "surprise", "wrong"]
    assert measured["wrong"] == pytest.approx(1 - measured["accuracy_top1"])
    assert measured["details"]["metrics"]["wrong"] == {"from": f"{file}:wrong", "shown": "percent", "better": "less"}

    pairs = [(row, column) for row, counts in enumerate(measured["details"]["confusion"])
             for column, count in enumerate(counts) for _ in range(count)]
    assert measured["kappa"] == pytest.approx(cohen_kappa_score(*zip(*pairs, strict=True)))

    line = f"wrong {measured['wrong']:.4f}"
    assert line in ended.out and "valid/kappa" in (run / "history.csv").read_text()
    page = re.sub(r"<[^>]+>", " ", (run / "report.html").read_text())
    assert re.search(rf"wrong\s+{100 * measured['wrong']:.2f} %", page)

    # Predicting runs none of it; measuring and training again do, and ask.
    assert lensmith.load(run).metrics["test"]["kappa"] == measured["kappa"]
    refused = command("val", run)
    assert refused.code == 2 and f"metric '{file}:kappa' would run the code of {file}" in refused.err
    again = command("val", run, "--trust")
    assert again.code == 0 and line in again.out
    assert command("train", run, "--name", "second").code == 2
    assert command("train", run, "--name", "second", "--trust").code == 0
    shown = command("compare", "runs/first", "runs/second")
    assert re.search(rf"wrong +{100 * measured['wrong']:.2f} % +{100 * measured['wrong']:.2f} %", shown.out)
    assert "Of wrong less is better, of all others more" in shown.out


def test_a_recipe_without_a_metric_of_ones_own_is_written_as_ever(command: Command, file: Path) -> None:
    ended = command(*SHAPES, "--dry-run")
    assert ended.code == 0 and "metrics" not in ended.out
    assert 'metrics = [\n    "my_metrics.py:kappa",\n]' in command(*SHAPES, asked("kappa"), "--dry-run").out


def test_what_scores_say_is_given_to_whom_asks(file: Path) -> None:
    trained = lensmith.train("shapes", backbone="simple", epochs=1, task="classification", settings={
        "data.count": 200, "task.metrics": [f"{file}:surprise"], "plan.mode": "exact"})
    found = trained.validate("train")
    part = read_data(trained.recipe, None).splits["train"]
    pictures = [part[i] for i in range(len(part))]
    with torch.inference_mode():
        scores = trained.network(torch.stack([sample.image for sample in pictures])).double().softmax(1)
    truth = [int(sample.targets["label"].index) for sample in pictures]
    assert found["surprise"] == pytest.approx(log_loss(truth, scores.numpy(), labels=range(scores.shape[1])), rel=1e-4)


@pytest.mark.parametrize(("names", "text"), [
    (["my_metrics.py:kapa"], r"my_metrics\.py has no 'kapa'\. Did you mean 'kappa'\?"),
    (["my_metric.py:kappa"], r"no file my_metric\.py\. Did you mean 'my_metrics\.py'\? The name of a metric of yours "
                             r"is FILE\.py:FUNCTION"),
    (["macro_f1"], r"task\.metrics names 'macro_f1', which is measured by itself: leave it out"),
    (["kappa"], r"task\.metrics names 'kappa', which is no metric of your own\. The name of a metric of yours is "
                r"FILE\.py:FUNCTION"),
    (["my_metrics.py:kappa", "other.py:kappa"], r"names 'other\.py:kappa', and there is a 'kappa' already: give the "
                                                r"function another name"),
    (["my_metrics.py:one"], r"metric 'my_metrics\.py:one' takes \(truth\), where \(truth, predicted\) is expected"),
    (["my_metrics.py:SEVEN"], r"metric 'my_metrics\.py:SEVEN' is int, where a function of truth and predictions"),
])
def test_a_name_that_is_no_metric_is_told_before_anything_is_trained(command: Command, file: Path, names: list[str],
                                                                     text: str) -> None:
    file.write_text(FILE + "\n\ndef one(truth):\n    return 1.0\n\n\nSEVEN = 7\n")
    ended = command(*SHAPES, f"task.metrics={json.dumps(names)}")
    assert ended.code == 2 and re.search(text, ended.err) and ended.err.count("\n") == 1
    assert not Path("runs").exists()


@pytest.mark.parametrize(("code", "text"), [
    ("raise KeyError('no such class')", "KeyError: 'no such class' (line 2 of {file})"),
    ("return wrong()\n\n\ndef wrong():\n    return [][0]", "IndexError: list index out of range (line 6 of {file})"),
    ("import json\n    return json.loads('{')", "JSONDecodeError: Expecting property name enclosed in double quotes: "
                                               "line 1 column 2 (char 1) (line 3 of {file})"),
    ("return truth", "it gave Tensor of shape ({count},), where a number is expected"),
    ("return None", "it gave NoneType, where a number is expected")])
def test_a_function_that_fails_is_not_measured_and_said_once(command: Command, file: Path, code: str,
                                                             text: str) -> None:
    file.write_text(f"def bad(truth, predicted):\n    {code}\n\n\ndef good(truth, predicted):\n    return 0.5\n")
    ended = command(*SHAPES, "--epochs", 2, asked("bad", "good"), "--name", "one")
    assert ended.code == 0, ended.err
    facts, measured = (json.loads(Path(f"runs/one/{name}.json").read_text()) for name in ("run", "metrics"))
    said = f"metric '{file}:bad' is not measured: {text.format(file=file, count=measured['valid']['count'])}"
    assert facts["status"] == "finished" and facts["notes"].count(said) == 1 and facts["warning"] == ""
    assert ended.err.splitlines().count(said) == 1
    assert measured["test"]["bad"] is None and measured["test"]["good"] == 0.5
    assert "is not measured" in measured["test"]["details"]["metrics"]["bad"]["problem"]
    assert re.search(r"bad nan  good 0\.5000", ended.out) and "metric &#39;" in Path("runs/one/report.html").read_text()
    assert "valid/bad" not in Run.open("runs/one").read_history()[-1]
    again = command("val", "runs/one", "--split", "valid", "--trust")
    assert again.code == 0 and again.err.splitlines() == [said] and "bad nan" in again.out
    again = command("val", "runs/one", "--trust", "--json", "-q")
    assert json.loads(again.out)["bad"] is None and again.err == ""


def test_of_several_tasks_a_part_is_not_measured(file: Path) -> None:
    details = {"parts": {"a": {"metrics": {"f": {"from": "x.py:f", "problem": "no"}, "g": {"from": "x.py:g"}}},
                         "b": {"metrics": {"f": {"from": "x.py:f", "problem": "no"}}}}}
    assert not_measured({"details": details}) == {"x.py:f": "no"} and not_measured({"count": 3}) == {}


def test_what_asks_for_scores_that_there_are_none_of_is_told_before_anything_is_trained(command: Command,
                                                                                        file: Path) -> None:
    ended = command("train", "shapes", "data.count=60", "--task", "detection", "--backbone", "csp", "backbone.width=8",
                    asked("surprise"), "--name", "one")
    assert ended.code == 2 and "surprise ask for scores, which labels and tags alone have" in ended.err
    assert not Path("runs").exists()


def test_a_line_in_the_table_is_all_that_a_metric_takes(command: Command, file: Path,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METRICS, "error_rate", Metric(lambda counts: 1 - fraction_right(counts), ("label",),
                                                      shown="percent", better="less", resampled=True))
    for name in ("first", "second"):
        ended = command(*SHAPES, "--name", name)
        assert ended.code == 0
    measured = json.loads(Path("runs/first/metrics.json").read_text())["test"]
    assert measured["error_rate"] == pytest.approx(1 - measured["accuracy_top1"])
    low, high = measured["intervals"]["error_rate"]
    assert low <= measured["error_rate"] <= high and f"error_rate {measured['error_rate']:.4f}" in ended.out
    page = re.sub(r"<[^>]+>", " ", Path("runs/first/report.html").read_text())
    assert re.search(rf"error_rate\s+{100 * measured['error_rate']:.2f} %\s+{100 * low:.2f} % to", page)
    assert "Of error_rate less is better, of all others more" in command("compare", "runs/first", "runs/second").out
