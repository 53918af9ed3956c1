"""A finished classifier of anybody's: its code and the file of its weights, as a network that was trained."""

import re
from dataclasses import dataclass
from pathlib import Path

from lensmith.base.errors import DataError, ModelError, UserError, count
from lensmith.base.pictures import Form
from lensmith.base.read_file import Unreadable, bounded_text
from lensmith.engine.plan.plan import Plan, make_plan
from lensmith.engine.run_folder import Run
from lensmith.models.adapters.whole_network import Whole
from lensmith.models.network import Network
from lensmith.models.weights import fit_into, read_weights
from lensmith.recipe import schema as recipes
from lensmith.recipe.build_network import build_network
from lensmith.recipe.choose_task import choose_task
from lensmith.recipe.defaults import complete
from lensmith.recipe.schema import NO_DATA
from lensmith.recipe.sections import resolve
from lensmith.ship.export.converted_run import account_without_data, write_converted
from lensmith.tasks.task import Task

# A count of batches that files from before PyTorch 0.4.1 lack; a network that has learned does not need it.
_COUNTER = "num_batches_tracked"
_BYTE = 255.0


@dataclass(frozen=True)
class Preprocessing:
    """What a network is used to: the edge of its pictures, and their mean and standard deviation, one number a channel
    in 0 .. 255."""

    size: tuple[int, int]    # (height, width), pixels
    mean: tuple[float, ...]
    deviation: tuple[float, ...]


def preprocessing(size: str, mean: str, deviation: str) -> Preprocessing:
    """What `--size 32 --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225` says.

    Numbers of at most 1 are of pixels in 0 .. 1, as torchvision's transforms have them; larger ones of 0 .. 255. Raises
    UserError for what is no such text.
    """
    edges = re.fullmatch(r"(\d{1,5})(?:x(\d{1,5}))?", size)
    if edges is None or "0" in edges.groups():
        raise UserError(f"--size is an edge in pixels, as 32, or height and width, as 224x160; got {size!r}")
    numbers = [_numbers(name, text) for name, text in (("mean", mean), ("std", deviation))]
    if len(numbers[0]) != len(numbers[1]) or len(numbers[0]) not in (1, 3, 4):
        raise UserError(f"--mean and --std have a number a channel each, of 1, 3 or 4 channels; got "
                        f"{len(numbers[0])} and {len(numbers[1])}: {mean} and {deviation}")
    if min(numbers[1]) <= 0:
        raise UserError(f"--std must be above 0 in every channel; got {deviation}")
    scale = _BYTE if max(*numbers[0], *numbers[1]) <= 1 else 1.0
    scaled = [tuple(scale * number for number in each) for each in numbers]
    return Preprocessing((int(edges[1]), int(edges[2] or edges[1])), scaled[0], scaled[1])


def _numbers(name: str, text: str) -> list[float]:
    try:
        numbers = [float(word) for word in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or not all(abs(number) < 1e6 for number in numbers):
        raise UserError(f"--{name} has numbers with commas between, a channel each, as 0.485,0.456,0.406; got {text!r}")
    return numbers


def class_names_of(file: Path) -> tuple[str, ...]:
    """The class names in a file, one a line, in the order of the network's outputs. Raises DataError."""
    try:
        names = tuple(line.strip() for line in bounded_text(file, largest=16 << 20).splitlines() if line.strip())
    except Unreadable as error:
        raise DataError(f"the class names {file} cannot be read ({error.reason}): give a text file with one a line") \
            from error
    twice = next((name for name in names if names.count(name) > 1), None) if len(names) < 100_000 else None
    if not names or twice is not None:
        raise DataError(f"{file} {'holds no name' if not names else f'names {twice!r} twice'}: each class has a line "
                        "of its own")
    return names


class FinishedNetwork:
    """A network of the user's code with weights from a file, and what a run folder needs beside it."""

    def __init__(self, code: str, weights: Path, names: Path, seen: Preprocessing):
        """
        code: `my_net.py:Net`, whose code is run.
        weights: a file of tensors by name, .safetensors or torch's, whatever its suffix.
        names: a text file of the class names.

        Raises ModelError where the file does not have every tensor of the network, or the network another number of
        outputs than there are names.
        """
        self.weights, self.classes = weights, {"label": class_names_of(names)}
        tensors = read_weights(weights)
        self.form = Form(len(seen.mean), *seen.size, fit="crop")
        file, _, attribute = code.rpartition(":")
        name = f"{Path(file).absolute()}:{attribute}" if file.endswith(".py") else code
        recipe: recipes.Recipe = {
            "data": {"name": NO_DATA}, "backbone": {"name": name}, "task": {"name": "classification"},
            "pictures": {"size": list(seen.size), "channels": len(seen.mean), "bits": 8}}
        self.recipe = complete(resolve(recipe, trusted=True, brought=["data"]), self.classes, self.form)
        self.task: Task = choose_task(self.recipe, self.classes)
        self.network: Network = build_network(self.recipe, self.task, self.form, outputs=len(self.classes["label"]),
                                              mean=list(seen.mean), deviation=list(seen.deviation))
        trunk = self.network.backbone
        if isinstance(trunk, Whole) and trunk.note:
            raise ModelError(f"{names} has {count(len(self.classes['label']), 'class')}, and {code} gives another "
                             f"number of scores a picture ({trunk.note}): name as many classes as it has outputs")
        fitted = fit_into(self.network, tensors, what=str(weights))
        lacking = [name for name in (*fitted.missing, *fitted.reshaped) if not name.endswith(_COUNTER)
                   and name not in ("mean", "deviation")]
        if lacking:
            raise ModelError(f"{weights} is of another network than {code}: {count(len(lacking), 'tensor')} of it "
                             f"{'is' if len(lacking) == 1 else 'are'} missing or of another shape "
                             f"({', '.join(lacking[:3])}{' ...' if len(lacking) > 3 else ''}); unknown here "
                             f"{'is' if len(fitted.unknown) == 1 else 'are'} {len(fitted.unknown)}. Give the code that "
                             "the weights were saved with")
        self.network.eval()
        self.plan: Plan = make_plan(device="cpu", layout="contiguous")

    def write(self, folder: Path, *, command: str) -> Run:
        """A run folder like that of a training, except that the data are not known."""
        run = Run.create(folder.parent, name=folder.name, fallback="")
        write_converted(run, recipe=self.recipe, plan=self.plan, network=self.network, task=self.task, command=command,
                        reason=f"from {self.weights}",
                        account=account_without_data({"weights": str(self.weights)}, self.classes, self.form))
        return run
