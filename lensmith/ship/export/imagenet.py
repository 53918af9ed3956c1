"""The classifier of ImageNet's 1,000 classes that is installed with the package, as a network that was trained."""

from pathlib import Path

from lensmith.base.pictures import Form
from lensmith.engine.plan.plan import Plan, make_plan
from lensmith.engine.run_folder import Run
from lensmith.models.adapters.embedded_weights import IMAGENET, embedded, imagenet_classes
from lensmith.models.network import Network
from lensmith.recipe import schema as recipes
from lensmith.recipe.build_network import build_network
from lensmith.recipe.choose_task import choose_task
from lensmith.recipe.defaults import complete
from lensmith.recipe.schema import NO_DATA
from lensmith.recipe.sections import resolve
from lensmith.recipe.starting_weights import begin_with
from lensmith.ship.export.converted_run import account_without_data, write_converted
from lensmith.tasks.task import Task

_BACKBONE, _EDGE = "efficientnet_lite0", 224    # pixels: what its weights were trained at


class ImagenetClassifier:
    """The network with its weights and its classes, and what a run folder needs beside it.

    A picture is brought to the network by its middle square, which keeps more of it than the usual middle of a larger
    one, and names photos no worse. Raises ModelError where the weights are not installed.
    """

    def __init__(self, *, device: str = "cpu"):
        self.classes: dict[str, tuple[str, ...]] = {"label": imagenet_classes()}
        self.form = Form(3, _EDGE, _EDGE, fit="crop", interpolation="bicubic")
        recipe: recipes.Recipe = {
            "data": {"name": NO_DATA}, "backbone": {"name": _BACKBONE}, "task": {"name": "classification"},
            "pictures": {"size": _EDGE, "channels": 3, "bits": 8, "interpolation": "bicubic"}}
        self.recipe = complete(resolve(recipe, trusted=False, brought=["data"]), self.classes, self.form)
        self.task: Task = choose_task(self.recipe, self.classes)
        self.network: Network = build_network(self.recipe, self.task, self.form, outputs=len(self.classes["label"]),
                                              mean=[0.0] * 3, deviation=[1.0] * 3)
        begin_with(self.network, IMAGENET, self.form, name=_BACKBONE, classes=self.classes,
                   build=lambda classes: self.network, from_zero=[])    # the classes are the same: none is built
        self.plan: Plan = make_plan(device=device, layout="channels_last", rewrites=("fold_batch_norm",))

    def write(self, folder: Path, *, command: str) -> Run:
        """A run folder like that of a training, except that the data are not known."""
        run = Run.create(folder.parent, name=folder.name, fallback="")
        package = embedded(_BACKBONE).package
        write_converted(run, recipe=self.recipe, plan=self.plan, network=self.network, task=self.task, command=command,
                        reason=f"from the package {package}",
                        account=account_without_data({"package": package}, self.classes, self.form))
        return run
