"""The error of a network of the user's own, in the words of its own lines and numbers."""

from collections.abc import Mapping

from torch import nn

from lensmith.base.errors import ModelError
from lensmith.models.adapters.user_code import NotBuilt
from lensmith.models.adapters.whole_network import CannotTake
from lensmith.study.inspect.building_causes import why_not_built
from lensmith.study.inspect.own_code import CodeLine
from lensmith.study.inspect.what_is_wrong import whole_failure


def in_own_words(error: ModelError, *, built: Mapping[nn.Module, CodeLine]) -> ModelError:
    """The error with what is wrong and the mend, where that can be found out; else as it came. `built` are the lines on
    which the network's modules were built."""
    if isinstance(error, NotBuilt) and error.__cause__ is not None:
        fault = why_not_built(error.__cause__)
        return error if fault.name == "not built" and fault.place is None else ModelError(fault.sentence())
    if isinstance(error, CannotTake):
        found = whole_failure(error.network, error.shape, built=built)
        if found is not None and (found.name != "failed" or found.place is not None):
            hint = f" `{error.command}` shows every layer up to there" if error.command else ""
            return ModelError(f"{found.sentence()}{hint}")
    return error
