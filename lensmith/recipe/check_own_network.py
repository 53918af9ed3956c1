"""Whether a backbone of the user's own goes with the pictures and the labels, told before the first step."""

import torch
from torch import Tensor

from lensmith.base.errors import ModelError, described
from lensmith.base.pictures import Form
from lensmith.models.adapters.user_code import inspect_command
from lensmith.models.adapters.whole_network import CannotTake, Whole
from lensmith.models.network import Network, sees_targets
from lensmith.models.trial_forward import in_evaluation_mode
from lensmith.recipe.schema import BROUGHT, Section
from lensmith.recipe.sections import arguments_of
from lensmith.tasks.task import Task

_PICTURES = 2    # of the trial
_OF_PACKAGES = ("timm:", "smp:")


def check_own_network(network: Network, task: Task, section: Section, form: Form) -> None:
    """Try a network whose `section` [backbone] names a backbone of the user's own. One that comes whole was tried when
    it was adopted. Raises CannotTake where it fails, ModelError where labels lie outside of what its head scores."""
    name = section["name"]
    own = name.startswith(BROUGHT) or (":" in name and not name.startswith(_OF_PACKAGES))
    if not own or isinstance(network.backbone, Whole) or sees_targets(network):
        return
    called, shape = name.removeprefix(BROUGHT), (form.channels, *form.size)
    try:
        with in_evaluation_mode(network), torch.random.fork_rng(devices=[]):
            output = network(torch.zeros(_PICTURES, *shape))
    except Exception as error:    # whatever a stranger's forward may raise
        command = "" if name.startswith(BROUGHT) else \
            inspect_command(name, form.channels, form.size, arguments_of(section))
        words = f"{called} cannot take pictures of {' x '.join(map(str, shape))} values: {described(error)}"
        raise CannotTake(words, network, shape, command=command) from error
    for layer, outputs in task.scoring_layers(network):
        if layer is network and isinstance(output, Tensor) and output.dim() > 1 and output.shape[1] != outputs:
            raise ModelError(f"there are {outputs} classes, so that labels go from 0 to {outputs - 1}, and the head of "
                             f"{called} gives {output.shape[1]} scores a picture: let "
                             "classifier(outputs) give as many as it is asked for")
