"""What other programs call our options and settings: the table of their names, a line each."""

from collections.abc import Mapping
from dataclasses import dataclass, field

SOURCE, RUN = "SOURCE", "RUN"    # in the place of a setting or an option: the argument of a verb
_YES = ("true", "1", "yes", "ram", "disk")
_NO = ("false", "0", "no")


@dataclass(frozen=True)
class Alias:
    """What one of their names means here."""

    ours: str | None                                      # a setting as section.key, an option of the verb, or one of
                                                          # its arguments; None: nothing has to be set
    remark: str = ""                                      # what is otherwise here
    values: Mapping[str, str | None] = field(default_factory=dict)    # what their values are called here; None: nothing
    instead: Mapping[str, str] = field(default_factory=dict)          # by the suffix of the value: what it means then
    warned: tuple[str, ...] = ("",)                       # the suffixes of values whose remark is made

    def meant_by(self, value: str) -> tuple[str | None, str | None]:
        """(the setting, option or argument, its value) for one of their values; None where nothing has to be set."""
        ours = next((other for suffix, other in self.instead.items() if value.lower().endswith(suffix)), self.ours)
        value_here = self.values.get(value.lower(), value)
        return (None, None) if ours is None or value_here is None else (ours, value_here)

    def remark_on(self, value: str) -> str:
        """What is otherwise here for one of their values; empty where nothing is."""
        return self.remark if value.lower().endswith(self.warned) else ""


def switched(yes: str | None, no: str | None) -> dict[str, str | None]:
    """The values of a switch: `yes` for each word that means true, `no` for each that means false."""
    values: dict[str, str | None] = {}
    values.update(dict.fromkeys(_YES, yes))
    values.update(dict.fromkeys(_NO, no))
    return values


_SIZE_OF_RUN = Alias(None, "pictures are brought to the size that the network learned from")
_WEIGHTS = {".safetensors": "learner.weights", ".pt": "learner.weights", ".pth": "learner.weights"}
_PICKLE = "a .pt that holds a network and not its tensors alone is a pickle, which can run code and is refused here"

# By verb: their name, with _ for -, and what it means. To add one write its line.
ALIASES: dict[str, dict[str, Alias]] = {
    "train": {
        "data": Alias(SOURCE),
        "model": Alias("backbone.name", _PICKLE, instead=_WEIGHTS, warned=(".pt", ".pth")),
        "arch": Alias("backbone.name"),
        "imgsz": Alias("pictures.size"),
        "img_size": Alias("pictures.size"),
        "lr": Alias("optimizer.rate"),
        "lr0": Alias("optimizer.rate"),
        "learning_rate": Alias("optimizer.rate"),
        "wd": Alias("optimizer.decay"),
        "weight_decay": Alias("optimizer.decay"),
        "momentum": Alias("optimizer.momentum"),
        "batch_size": Alias("loading.batch"),
        "b": Alias("loading.batch"),
        "workers": Alias("loading.workers"),
        "j": Alias("loading.workers"),
        "patience": Alias("learner.patience"),
        "label_smoothing": Alias("task.smoothing"),
        "pretrained": Alias("learner.weights", values=switched("imagenet", "none")),
        "amp": Alias("plan.precision", "by itself precisions are timed, and the fastest that learns the same is taken",
                     switched(None, "float32")),
        "cache": Alias(None, "decoded pictures are kept by themselves, in memory or on the disk, wherever they fit"),
        "fraction": Alias("loading.fraction"),
        "project": Alias("--runs"),
        "exist_ok": Alias(None, "a run folder is never overwritten: without --name the next free number is taken"),
        "save": Alias(None, "every run is saved, after each epoch and each minute"),
        "source": Alias(SOURCE),
    },
    "val": {
        "model": Alias(RUN, _PICKLE, warned=(".pt", ".pth")),
        "imgsz": _SIZE_OF_RUN,
        "img_size": _SIZE_OF_RUN,
        "conf": Alias(None, "scores are measured over all thresholds"),
    },
    "predict": {
        "model": Alias(RUN, _PICKLE, warned=(".pt", ".pth")),
        "source": Alias("SOURCES"),
        "conf": Alias("--threshold"),
        "imgsz": _SIZE_OF_RUN,
        "img_size": _SIZE_OF_RUN,
        "vid_stride": Alias("--every"),
        "save": Alias("--out", "it names the folder", switched("predictions", None)),
    },
    "export": {
        "model": Alias(RUN, _PICKLE, warned=(".pt", ".pth")),
        "format": Alias("--to"),
        "imgsz": _SIZE_OF_RUN,
        "dynamic": Alias(None, "the batch is free, and --any-size takes pictures of any size"),
    },
}
# Our own names that mean something else elsewhere: what is said where they are given, by verb.
FALSE_FRIENDS: dict[str, dict[str, str]] = {
    "train": {"freeze": "--freeze N counts blocks of the backbone, not single layers, from the picture on"},
}
# What others call the values of our own options, by verb and option.
VALUES: dict[str, dict[str, dict[str, str]]] = {
    "train": {"task": {"detect": "detection", "segment": "instances", "classify": "classification",
                       "semantic": "segmentation"}},
}
# Their names of settings that are ours too, as a YAML file of theirs has them.
SAME = {"epochs": "learner.epochs", "batch": "loading.batch", "device": "plan.device", "seed": "run.seed",
        "name": "run.name", "freeze": "learner.freeze", "task": "task.name", "optimizer": "optimizer.name"}
# Names by which a YAML file of theirs is told from a description of a data set.
TELLING = ("model", "epochs", "imgsz", "lr0", "patience", "optimizer")
