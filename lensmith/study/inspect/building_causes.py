"""Why a network of the user's own could not be built."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any

from lensmith.base.errors import described
from lensmith.study.inspect.evidence import Fault
from lensmith.study.inspect.map_causes import groups_in_words
from lensmith.study.inspect.own_code import place_of

BuildingCause = Callable[[BaseException], Fault | None]


def indivisible_groups(error: BaseException) -> Fault | None:
    """A convolution or a group norm whose groups do not divide its channels."""
    for settings in _settings_of_layers(error):
        groups = settings.get("groups", settings.get("num_groups"))
        if not isinstance(groups, int) or groups < 1:
            continue
        for name in ("in_channels", "out_channels", "num_channels"):
            channels = settings.get(name)
            if isinstance(channels, int) and channels % groups:
                setting = "num_groups" if "num_groups" in settings else "groups"
                return Fault(f"{type(settings['self']).__name__} has {name}={channels} and {setting}={groups}, which "
                             f"leaves {channels % groups} over. {groups_in_words(channels)}")
    return None


def not_initialised(error: BaseException) -> Fault | None:
    """A constructor that sets layers before it has called its parent's."""
    if not isinstance(error, AttributeError) or "before Module.__init__() call" not in str(error):
        return None
    return Fault("a layer is set before the network is one. Call super().__init__() first in __init__")


def another_machine(error: BaseException) -> Fault | None:
    """A constructor that puts layers on a GPU of another machine."""
    if not any(word in str(error) for word in ("NVIDIA driver", "compiled with CUDA", "No CUDA GPUs", "CUDA error")):
        return None
    return Fault(f"a layer is put on a device that this machine does not have ({described(error)}). Leave .cuda() and "
                 ".to(...) out: the network is moved as a whole")


BUILDING: Mapping[str, BuildingCause] = {
    "groups that do not divide": indivisible_groups,
    "layers before super().__init__()": not_initialised,
    "a device that is not here": another_machine,
}


def why_not_built(error: BaseException) -> Fault:
    """Why a constructor raised this error, with the user's own line."""
    place = place_of(error)
    for name, cause in BUILDING.items():
        fault = cause(error)
        if fault is not None:
            return replace(fault, place=place, name=name)
    return Fault(f"the network could not be built: {described(error)}".rstrip("."), place, name="not built")


def _settings_of_layers(error: BaseException) -> list[dict[str, Any]]:
    """The arguments of the constructors that the error came through, the outermost first."""
    found = []
    traceback: TracebackType | None = error.__traceback__
    while traceback is not None:
        code, values = traceback.tb_frame.f_code, traceback.tb_frame.f_locals
        if code.co_name == "__init__" and "self" in values:
            found.append(dict(values))
        traceback = traceback.tb_next
    return found
