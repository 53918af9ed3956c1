"""The verb `doctor`: its lines, its JSON, and what it says where there is nothing to judge."""

import json
from pathlib import Path

import pytest

RECIPE = """[data]
name = "shapes"

[backbone]
name = "lenet"

[task]
name = "classification"

[optimizer]
name = "adamw"
rate = 1.0
"""
HISTORY = """epoch,step,train/loss,valid/loss,valid/accuracy_top1
1,10,9.5,1.3,0.33
2,20,1.4,1.2,0.33
3,30,1.3,1.1,0.34
"""
DATA = {"classes": {"label": ["square", "disc", "triangle"]},
        "splits": {name: {"count": 3 * number, "per_class": dict.fromkeys(("square", "disc", "triangle"), number)}
                   for name, number in (("train", 30), ("valid", 10))}}


@pytest.fixture
def high(tmp_path: Path) -> Path:
    """A run whose rate was far too high."""
    folder = tmp_path / "high"
    folder.mkdir()
    (folder / "recipe.toml").write_text(RECIPE)
    (folder / "history.csv").write_text(HISTORY)
    (folder / "data.json").write_text(json.dumps(DATA))
    (folder / "run.json").write_text(json.dumps({"status": "finished", "score_name": "accuracy_top1"}))
    return folder


def test_a_line_for_each_fault_the_most_certain_first(command, high: Path):
    ended = command("doctor", high)
    first = ended.out.splitlines()[0]
    assert ended.code == 0
    assert first == (
        "rate too high (85% sure): the rate is so high that each step undoes what the last one learned "
        "(optimizer.rate=1). Measured: train/loss rose to 9.5, where guessing costs 1.099. Mend: --rate 0.1; "
        "learner.clip=1 where single batches do it; `lensmith doctor RECIPE --rates` finds one")


def test_json_has_all(command, high: Path):
    faults = json.loads(command("doctor", high, "--json").out)["faults"]
    assert faults[0]["fault"] == "rate too high" and faults[0]["settings"] == {"optimizer.rate": 0.1}
    assert set(faults[0]) == {"fault", "sure", "grave", "cause", "measured", "mend", "settings"}


def test_a_loss_that_was_high_at_first_says_nothing_after_a_few_steps(command, high: Path):
    (high / "history.csv").write_text("epoch,step,train/loss,valid/loss,valid/accuracy_top1\n1,2,1.9,1.2,0.3\n")
    assert command("doctor", high).out.startswith("nothing found")


def test_a_recipe_or_data_in_the_place_of_a_run(command, high: Path):
    ended = command("doctor", "shapes")
    assert ended.code == 4 and ended.err == (
        "lensmith: there is no run folder shapes. `lensmith list runs` shows those that are there. To find a rate for "
        "a recipe or data: lensmith doctor shapes --rates\n")
    ended = command("doctor", high.parent)
    assert ended.code == 4 and f"recipe.toml. To find a rate for a recipe or data: lensmith doctor {high.parent} " \
        "--rates" in ended.err
    assert command("doctor", high / "recipe.toml").err.endswith("--rates\n")


def test_what_goes_with_rates_alone_is_refused_without(command, high: Path):
    ended = command("doctor", high, "--steps", 50)
    assert ended.code == 2 and "settings, --steps and --out go with --rates; got --steps 50. To train" in ended.err


def test_a_run_without_a_fault(command, high: Path):
    (high / "history.csv").write_text("epoch,step,train/loss,valid/loss,valid/accuracy_top1\n1,10,0.5,0.5,0.8\n")
    assert command("doctor", high).out == "nothing found: the run shows no sign of a fault that is known here\n"


def test_a_run_that_never_finished_its_first_epoch(command, high: Path):
    (high / "history.csv").unlink()
    ended = command("doctor", high)
    assert ended.code == 4 and ended.err == (
        f"lensmith: {high} has not finished its first epoch, and nothing was measured within it: go on with lensmith "
        f"train --resume {high}, then ask again\n")


def test_a_run_within_its_first_epoch_whose_history_is_empty_yet(command, high: Path):
    (high / "history.csv").write_text("\n")
    assert "has not finished its first epoch" in command("doctor", high).err


def test_what_is_no_run_or_damaged(command, high: Path):
    ended = command("doctor", high.parent / "hihg")
    assert ended.code == 4 and "there is no run folder" in ended.err and "Did you mean 'high'?" in ended.err
    history = high / "history.csv"
    history.write_text("{[broken")
    ended = command("doctor", high)
    assert ended.code == 4 and f"{history} is damaged (its first line names no column 'epoch'): put it" in ended.err
    history.write_text(HISTORY)
    (high / "data.json").write_text("[")
    ended = command("doctor", high)
    assert ended.code == 4 and f"{high / 'data.json'} is damaged" in ended.err
