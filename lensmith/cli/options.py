"""The options that several verbs share, and the table of the flags that stand for settings of a recipe."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from lensmith.base.errors import UserError

Json = Annotated[bool, typer.Option("--json", help="The result as JSON on stdout.")]
Trust = Annotated[bool, typer.Option("--trust", help="Run the user's own code that the run folder names.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:N or mps; train: cuda:0,1 too.")]
Runtime = Annotated[str | None, typer.Option(help="What computes the answers: torch, onnxruntime, openvino, in 16 bits "
                                                 "torch:bfloat16 and openvino:bfloat16, or auto, which takes the "
                                                 "fastest here; by itself torch, for a file auto.")]
FormOf = Annotated[Path | None, typer.Option("--form", help="Of an ONNX file that others have written: a TOML file "
                                                           "that says what it takes and gives (docs/export.md).")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]

# The parameter of `lensmith train` -> the setting that it stands for. The flag is the parameter's name with hyphens.
FLAGS: dict[str, str] = {
    "backbone": "backbone.name",
    "task": "task.name",
    "world": "world.name",
    "algorithm": "algorithm.name",
    "steps": "learner.steps",
    "epochs": "learner.epochs",
    "minutes": "learner.minutes",
    "batch": "loading.batch",
    "rate": "optimizer.rate",
    "optimizer": "optimizer.name",
    "size": "pictures.size",
    "device": "plan.device",
    "plan": "plan.mode",
    "processes": "plan.processes",
    "seed": "run.seed",
    "name": "run.name",
    "language": "run.language",
    "weights": "learner.weights",
    "teacher": "learner.teacher",
    "freeze": "learner.freeze",
    "probe": "learner.probe",
    "on_bad": "pictures.on_bad",
}
# The parameter of a switch -> the setting that it stands for, and the value that it gives it.
SWITCHES: dict[str, tuple[str, str]] = {"scratch": ("learner.weights", "none")}
# Arguments of the Python functions, as messages name them, that no recipe holds -> the option of the same meaning.
ARGUMENTS: dict[str, str] = {
    "train.runs": "--runs",
    "trust=True": "--trust",
    "validate.data": "--data",
    "predict.threshold": "--threshold",
    "predict.overlap": "--iou",
    "predict.classes": "--classes",
    "predict.tiles": "--tiles",
    "predict.out": "--out",
    "watch.out": "--out",
    "watch.every": "--every",
    "predict.runtime": "--runtime",
    "predict.form": "--form",
    "export.to": "--to",
    "export.out": "--out",
    "export.any_size": "--any-size",
    "export.data": "--data",
    "export.lose": "--lose",
    "export.calibration": "--calibration",
    "compare.out": "--out",
    "compress.speed": "--speed",
    "compress.macs": "--macs",
    "compress.size": "--size",
    "compress.lose": "--lose",
    "compress.by": "--by",
    "compress.int8": "--int8",
}


def settings_of(parameters: Mapping[str, Any], flags: Mapping[str, str] = FLAGS) -> dict[str, Any]:
    """{"section.key": value} of the flags among a verb's parameters; None where one was left out. Raises UserError
    where a switch and a flag give one setting two values."""
    # A switch that was left out is False, and sets nothing either.
    settings = {place: None if parameters[name] is False else parameters[name] for name, place in flags.items()}
    for name, (place, value) in SWITCHES.items():
        if not parameters.get(name):
            continue
        if settings.get(place) not in (None, value):
            raise UserError(f"--{name} stands for {place}={value}; got {place}={settings[place]} beside it: leave one "
                            "of the two out")
        settings[place] = value
    return settings


def with_flags(text: str, flags: Mapping[str, str] = FLAGS) -> str:
    """The text with the flag behind the first mention of each setting: `learner.epochs (--epochs) must be ...`.

    A value stays with its setting, `task.name=detection (--task)`. A flag that the text names already is not added, and
    commands between backticks are left as they are.
    """
    flag_of = {place: f"--{name.replace('_', '-')}" for name, place in flags.items()} | ARGUMENTS
    places = "|".join(map(re.escape, flag_of))
    value = r"(?:=(?:\[[^]]*\]|'[^']*'|\S*[^\s,;:.)]))?"
    mention = re.compile(rf"`[^`]*`|(?<![\w.'\"/=-])(?P<place>{places})(?![\w/-]|\.\w){value}")
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", text))

    def flagged(match: re.Match[str]) -> str:
        flag = flag_of.get(match["place"])
        if flag is None or flag in named:
            return match[0]
        named.add(flag)
        return f"{match[0]} ({flag})"

    return mention.sub(flagged, text)


def options_of(command: Any) -> dict[str, bool]:
    """The options of a command of click's, and whether each takes a value."""
    return {option: not getattr(parameter, "is_flag", False) for parameter in command.params
            for option in (*parameter.opts, *parameter.secondary_opts) if option.startswith("-")}
