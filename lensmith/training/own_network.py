"""How a training meets a network of the user's own: what is wrong with it is told before the first step."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy

from torch import nn

from lensmith.base.errors import ModelError
from lensmith.base.pictures import Form
from lensmith.models.adapters.whole_network import Whole
from lensmith.study.inspect.explain import in_own_words
from lensmith.study.inspect.layers import inspect_network
from lensmith.study.inspect.learning_causes import ENDINGS
from lensmith.study.inspect.own_code import places_of_building
from lensmith.tasks.task import Task


@contextmanager
def explained_errors() -> Iterator[None]:
    """An error of the user's own network says on which line of which file it is wrong, in numbers, with the mend."""
    with places_of_building() as built:
        try:
            yield
        except ModelError as error:
            told = in_own_words(error, built=built)
            if told is error:
                raise
            raise told from error


def advice_on(network: nn.Module, task: Task, form: Form) -> list[str]:
    """A line on each thing that keeps a network of the user's own from learning this task as it should."""
    own = next((module for module in network.modules() if isinstance(module, Whole)), None)
    if own is None:
        return []
    try:
        copy = deepcopy(own.network).cpu()
    except Exception:    # a stranger's network may hold what cannot be copied; then nothing is advised
        return []
    faults = inspect_network(copy, (form.channels, *form.size)).faults
    scores = bool(task.scoring_layers(network))    # other tasks, as numbers between 0 and 1, may end with a sigmoid
    return [fault.sentence() for fault in faults if (scores if fault.name in ENDINGS else fault.grave)]
