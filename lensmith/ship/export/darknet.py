"""Between Lensmith's run folders and Darknet's files."""

from pathlib import Path

import torch

from lensmith.base.errors import ModelError, UserError, count
from lensmith.base.pictures import Form
from lensmith.engine.plan.plan import Plan, make_plan
from lensmith.engine.run_folder import Run
from lensmith.models.darknet.cfg_file import read_cfg, with_pictures, write_cfg
from lensmith.models.darknet.network import Darknet
from lensmith.models.darknet.weights_file import read_darknet_weights, write_darknet_weights
from lensmith.models.network import Network
from lensmith.recipe import schema as recipes
from lensmith.recipe.build_network import build_network
from lensmith.recipe.choose_task import choose_task
from lensmith.recipe.defaults import complete
from lensmith.recipe.run_recipe import keep_files
from lensmith.recipe.schema import NO_DATA
from lensmith.recipe.sections import resolve
from lensmith.ship.export.converted_run import account_without_data, write_converted
from lensmith.tasks.task import Task


class Imported:
    """A network that was read from Darknet's files, with what a run folder needs beside it."""

    def __init__(self, cfg: Path, weights: Path, names: Path | None = None):
        """`names` is a file of class names, one a line; without it classes are called by their numbers.

        Raises ModelError for files that do not belong together, UserError where names and classes differ in number.
        """
        config = read_cfg(cfg)
        network = Darknet(config)
        counts = {output.classes for output in network.outputs} or ({network.channels[-1]} if network.scores else set())
        if len(counts) != 1:
            raise ModelError(f"{cfg} is neither a detector, with yolo or region layers of one number of classes, nor a "
                             "classifier: a backbone alone is given to a training, as backbone.name=darknet "
                             f"backbone.cfg={cfg}")
        classes = _names(names, counts.pop(), cfg)
        target, task = ("boxes", "yolov3") if network.outputs else ("label", "classification")
        self.classes: dict[str, tuple[str, ...]] = {target: classes}
        self.form = Form(network.inputs, *network.size, fit="pad" if network.outputs else "crop")
        recipe: recipes.Recipe = {
            "data": {"name": NO_DATA}, "backbone": {"name": "darknet", "cfg": str(cfg.absolute())},
            "task": {"name": task}, "pictures": {"size": list(network.size), "channels": network.inputs}}
        self.recipe = complete(resolve(recipe, trusted=True, brought=["data"]), self.classes, self.form)
        self.task: Task = choose_task(self.recipe, self.classes)
        # Darknet divides pixels by 255 and does nothing else to them.
        self.network: Network = build_network(self.recipe, self.task, self.form, outputs=len(classes),
                                              mean=[0.0] * network.inputs, deviation=[255.0] * network.inputs)
        trunk = self.network.backbone
        assert isinstance(trunk, Darknet)
        read_darknet_weights(weights, trunk)
        self.plan: Plan = make_plan(device="cpu", layout="channels_last", rewrites=("fold_batch_norm",))
        self.files = {"cfg": str(cfg), "weights": str(weights)}

    def write(self, folder: Path, *, command: str) -> Run:
        """A run folder like that of a training, except that the data are not known."""
        run = Run.create(folder.parent, name=folder.name, fallback="")
        write_converted(run, recipe=keep_files(self.recipe, run), plan=self.plan, network=self.network, task=self.task,
                        command=command, reason=f"from {self.files['weights']}",
                        account=account_without_data(self.files, self.classes, self.form))
        return run


def write_darknet(network: Network, cfg: Path, weights: Path) -> None:
    """Write the network of a run as Darknet's files.

    Raises ModelError for a network that did not come from a cfg, UserError where one of the files exists.
    """
    trunk = network.backbone
    if not isinstance(trunk, Darknet) or (trunk.taps and not (trunk.outputs or trunk.scores)):
        raise ModelError("only a network that came from a Darknet cfg can be written as one; this run's backbone is "
                         f"{type(trunk).__name__}")
    _refuse_other_preprocessing(network)
    _refuse_cut(trunk)
    for path in (cfg, weights):
        if path.exists():
            raise UserError(f"{path} exists: choose another name")
    write_cfg(cfg, with_pictures(trunk.config, inputs=trunk.inputs, size=trunk.size))
    write_darknet_weights(weights, trunk)


def _refuse_other_preprocessing(network: Network) -> None:
    if bool((network.mean != 0).any()) or bool((network.deviation != 255).any()):
        raise ModelError("this run's network standardises its pictures by mean and deviation of its own data, which "
                         "Darknet's files cannot say: train it from Darknet's weights, with learner.weights, to keep "
                         "0 and 255")


def _refuse_cut(trunk: Darknet) -> None:
    with torch.device("meta"):
        written = Darknet(trunk.config, inputs=trunk.inputs, size=trunk.size, taps=trunk.taps or None)
    shapes = {name: tensor.shape for name, tensor in trunk.state_dict().items()}
    cut = next((name for name, tensor in written.state_dict().items() if shapes.get(name) != tensor.shape), None)
    if cut is not None:
        raise ModelError(f"the network was cut by lensmith compress ({cut} has other channels than its cfg says), and "
                         "its cfg would build the whole one: write the run that it was cut from, or use export")


def _names(file: Path | None, classes: int, cfg: Path) -> tuple[str, ...]:
    if file is None:
        return tuple(str(number) for number in range(classes))
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the names {file} cannot be read ({error}): give a text file with one name a line") from error
    names = tuple(line.strip() for line in lines if line.strip())
    if len(names) != classes:
        raise UserError(f"{file} has {count(len(names), 'name')}, and {cfg} is for {count(classes, 'class')}: give the "
                        "names that belong to it, one a line")
    if len(set(names)) < len(names):
        twice = next(name for at, name in enumerate(names) if name in names[:at])
        raise UserError(f"{file} names {twice!r} twice: every class needs a name of its own")
    return names
