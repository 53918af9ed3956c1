"""What fingers already know: `epochs=3`, other programs' names, GPUs by their numbers."""

from inspect import signature

import pytest

from lensmith.base.errors import UserError
from lensmith.cli.app import VERBS, command_with
from lensmith.cli.habits import our_words
from lensmith.cli.options import FLAGS, options_of
from lensmith.recipe.aliases import ALIASES, FALSE_FRIENDS, RUN, SAME, SOURCE, VALUES
from lensmith.recipe.schema import parameters_of
from lensmith.recipe.sections import PLAIN, SECTIONS

COMMANDS = command_with(VERBS).commands


def translated(verb: str, line: str) -> tuple[str, list[str]]:
    words, said = our_words(line.split(), verb, options_of(COMMANDS[verb]))
    return " ".join(words), said


@pytest.mark.parametrize(("line", "ours"), [
    ("shapes --epochs 3", "shapes --epochs 3"), ("shapes epochs=3", "shapes --epochs 3"),
    ("shapes --epochs=3 name=a=b", "shapes --epochs 3 --name a=b"),
    ("data=pets model=resnet18 imgsz=64 lr0=0.01", "pets --backbone resnet18 --size 64 --rate 0.01"),
    ("--data pets --lr 0.01 --batch-size 8", "pets --rate 0.01 --batch 8"),
    ("pets --workers 4 --patience 3 --fraction 0.5",
     "pets loading.workers=4 learner.patience=3 loading.fraction=0.5"),
    ("pets -j 4 -b 64", "pets --batch 64 loading.workers=4"),
    ("pets --pretrained", "pets --weights imagenet"), ("pets pretrained=False", "pets --weights none"),
    ("pets pretrained=a.safetensors", "pets --weights a.safetensors"),
    ("pets model=a.safetensors", "pets --weights a.safetensors"), ("pets amp=False", "pets plan.precision=float32"),
    ("pets amp=True --cache exist_ok=True save=True", "pets"), ("pets project=out", "pets --runs out"),
    ("pets --device 0", "pets --device cuda:0"), ("pets device=0,1", "pets --device cuda:0,1"),
    ("pets --device cpu", "pets --device cpu"), ("pets task=segment", "pets --task instances"),
    ("pets probe=True dry-run=false", "pets --probe"), ("pets --name epochs=3", "pets --name epochs=3"),
    ("pets learner.epochs=3 nonsense=3", "pets learner.epochs=3 nonsense=3"), ("pets --rate -1", "pets --rate -1"),
    ("pets -- lr=3", "pets -- lr=3"), ("pets --lr", "pets --rate true"), ("pets --epochs", "pets --epochs")])
def test_what_is_typed_for_train_is_understood(line, ours):
    assert translated("train", line)[0] == ours


@pytest.mark.parametrize(("verb", "line", "ours"), [
    ("predict", "model=runs/a source=photos conf=0.3 iou=0.5", "runs/a --threshold 0.3 --iou 0.5 photos"),
    ("predict", "runs/a a.jpg save=True imgsz=640", "runs/a a.jpg --out predictions"),
    ("predict", "runs/a --device 1", "runs/a --device cuda:1"),
    ("val", "model=runs/a data=pets split=test", "runs/a --data pets --split test"),
    ("export", "model=runs/a format=onnx int8=True", "runs/a --to onnx --int8"),
    ("inspect", "lenet activation=tanh size=3", "lenet activation=tanh size=3")])
def test_what_is_typed_for_other_verbs_is_understood(verb, line, ours):
    assert translated(verb, line)[0] == ours


def test_each_name_is_told_once_and_ours_are_not():
    assert translated("train", "pets --epochs 3 batch=8")[1] == []
    assert translated("train", "pets --lr 0.1 --lr 0.2")[1] == ["--lr is --rate here"]
    assert translated("train", "pets lr=0.1 --exist-ok")[1] == [
        "lr= is --rate here",
        "--exist-ok sets nothing here; a run folder is never overwritten: without --name the next free number is taken"]
    assert "counts blocks" in translated("train", "pets --freeze 10")[1][0]
    assert translated("train", "pets --freeze backbone")[1] == []
    assert "is a pickle, which can run code" in translated("train", "pets model=yolo11n.pt")[1][0]
    assert translated("train", "pets model=resnet18")[1] == ["model= is --backbone here"]
    assert translated("train", "pets task=detect")[1] == ["--task detect is --task detection here"]


def test_a_file_of_such_a_name_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "top=3").write_text("")
    assert translated("predict", "runs/a top=3 top=4")[0] == "runs/a top=3 --top 4"


def test_a_switch_that_is_neither_on_nor_off_is_refused():
    with pytest.raises(UserError) as refused:
        translated("train", "pets probe=maybe")
    assert str(refused.value) == "probe is a switch; got 'probe=maybe': say probe=true, probe=false or --probe"


def test_no_alias_clashes_with_a_name_of_ours_and_each_leads_to_one():
    """An alias that is an option of its verb too would never be read, or would hide it."""
    for verb, aliases in ALIASES.items():
        own = {option.lstrip("-").replace("-", "_") for option in options_of(COMMANDS[verb])}
        assert not own & set(aliases), f"{verb}: {own & set(aliases)}"
        assert not set(aliases) & set(SECTIONS) - {"data"}    # data= is nowhere a section alone
        for name, alias in aliases.items():
            assert name == name.lower().replace("-", "_")
            for ours in (alias.ours, *alias.instead.values()):
                if ours is None:
                    assert alias.remark, f"{verb}: {name} sets nothing, and does not say why"
                elif ours.startswith("--"):
                    assert ours in options_of(COMMANDS[verb])
                elif "." in ours:
                    section, _, key = ours.partition(".")
                    assert section in SECTIONS
                    assert section not in PLAIN or key in parameters_of(PLAIN[section])
                else:
                    assert ours in (RUN, SOURCE, "SOURCES") and ours.lower() in signature(VERBS[verb]).parameters
    for verb, friends in (*FALSE_FRIENDS.items(), *VALUES.items()):
        assert set(friends) <= set(signature(VERBS[verb]).parameters)
    assert set(SAME.values()) <= set(FLAGS.values())


@pytest.mark.parametrize(("arguments", "code", "words"), [
    (["train", "shapes", "--epoch", "3"], 2, "No such option: --epoch. Did you mean '--epochs'? `lensmith train"),
    (["train", "shapes", "--elephant", "3"], 2, "No such option: --elephant. `lensmith train --help`"),
    (["train", "shapes", "probe=maybe"], 2, "probe is a switch"),
    (["train", "shapes", "model=none.pth", "-q", "--dry-run"], 4, "no weights file none.pth"),
    (["train", "shapes", "--backbone", "lenet", "--size", "6", "--dry-run"], 4, "lenet cannot take pictures of 6 x 6"),
    (["train", "shapes", "--backbone", "lenet", "plan.mode=none.json", "--dry-run"], 2, "none.json"),
    (["train", "shapes", "--backbone", "lenet", "name=a/b", "--dry-run"], 2, "run.name (--name) must be a plain"),
    (["train", "shapes", "--backbone", "lenet", "--freeze", "none*", "--dry-run"], 2, "none*"),
    (["train", "shapes", "--backbone", "lenet", "--teacher", "none", "--dry-run"], 4, "there is no run folder none"),
    (["train", "shapes", "--probe", "--backbone", "lenet", "--dry-run"], 2, "learner.probe (--probe) trains the head")])
def test_what_a_run_would_refuse_a_dry_run_refuses(command, arguments, code, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = command(*arguments)
    ended.refused(words, code=code)
    assert not list(tmp_path.iterdir())


def test_a_dry_run_refuses_a_name_that_is_taken(command, trained, tmp_path):
    ended = command("train", "shapes", "--backbone", "lenet", "--name", trained.name, "--runs", trained.parent,
                    "--dry-run")
    ended.refused("one exists: choose another run.name (--name), or go on with lensmith train --resume")


def test_a_setting_of_one_task_alone_names_the_task(command):
    ended = command("train", "shapes", "--backbone", "simple", "task.box_weight=5", "--dry-run")
    assert ended.code == 0 and 'name = "detection"' in ended.out and "box_weight = 5" in ended.out
    ended = command("train", "shapes", "--backbone", "lenet", "task.focal=2", "--dry-run")
    assert ended.code == 0 and 'name = "classification"' in ended.out


def test_names_are_told_on_stderr_and_a_quiet_command_tells_none(command):
    ended = command("train", "data=shapes", "model=lenet", "--lr", "0.25", "--dry-run")
    assert ended.code == 0 and "rate = 0.25" in ended.out
    assert ended.err.splitlines() == ["data= is the argument SOURCE here", "model= is --backbone here",
                                      "--lr is --rate here"]
    assert command("train", "data=shapes", "model=lenet", "--lr", "0.25", "--dry-run", "-q").err == ""
