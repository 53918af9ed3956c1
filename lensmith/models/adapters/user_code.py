"""Networks that a user brings: a class or function in a file or a package, or a module that is there already."""

import inspect
import os
import shlex
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from torch import nn

from lensmith.base.errors import ModelError, described
from lensmith.base.user_code import find_attribute
from lensmith.models.adapters.whole_network import adopt
from lensmith.models.backbone import Backbone


class NotBuilt(ModelError):
    """A network of the user's own whose constructor raised; what it raised is the cause of this error."""


# The arguments that the program passes to a network whose signature has them.
GIVEN = ("inputs", "size", "outputs")


def find_outside(name: str, *, trusted: bool) -> Callable[..., Backbone]:
    """The constructor that `my_net.py:Net` or `package.module:Net` names, as one of a backbone.

    Its signature is the user's own with `inputs`, `size` and `outputs` added as keywords; the user's class or function
    gets those of the three that it asks for. Raises ModelError where it is not trusted, cannot be imported or found.
    """
    construct = find_module(name, trusted=trusted)

    @wraps(construct)
    def build(*, inputs: int, size: tuple[int, int], outputs: int, **settings: Any) -> Backbone:
        network = construct(inputs=inputs, size=size, outputs=outputs, **settings)
        command = inspect_command(name, inputs, size, settings)
        return adopt(network, inputs=inputs, size=size, what=name, command=command)

    return build


def inspect_command(name: str, inputs: int, size: tuple[int, int], settings: Mapping[str, Any]) -> str:
    """`lensmith inspect my_net.py:Net --size 28 --channels 1`: what shows a network as it meets these pictures."""
    file, _, attribute = name.rpartition(":")
    if file.endswith(".py") and not (relative := os.path.relpath(file)).startswith(os.pardir):
        file = relative
    edges = str(size[0]) if size[0] == size[1] else f"{size[0]}x{size[1]}"
    return shlex.join(["lensmith", "inspect", f"{file}:{attribute}", "--size", edges, "--channels", str(inputs),
                       *(f"{key}={value}" for key, value in settings.items())])


def find_module(name: str, *, trusted: bool) -> Callable[..., nn.Module]:
    """As find_outside, but of a module as it is, so that one that is no backbone can still be inspected."""
    return constructor(find_attribute(name, trusted=trusted)[1], name)


def constructor(factory: Any, name: str) -> Callable[..., nn.Module]:
    """`factory`, named `name`, as a constructor with the keywords of find_outside; ModelError if it is none."""
    if isinstance(factory, nn.Module):    # a network that the file has made already
        return lambda *, inputs, size, outputs: factory
    if not callable(factory):
        raise ModelError(f"{name} is {type(factory).__name__}, where a class or function that gives a torch.nn.Module "
                         "is expected")
    try:
        signature = inspect.signature(factory)
    except ValueError as error:    # some builtins have none
        raise ModelError(f"{name} has no signature: name a class or function written in Python") from error

    @wraps(factory)
    def build(*, inputs: int, size: tuple[int, int], outputs: int, **settings: Any) -> nn.Module:
        passed = {key: value for key, value in (("inputs", inputs), ("size", size), ("outputs", outputs))
                  if key in signature.parameters}
        try:
            network = factory(**settings, **passed)
        except ModelError:
            raise
        except Exception as error:    # whatever a stranger's constructor may raise
            raise NotBuilt(f"{name} could not be built: {described(error)}") from error
        if not isinstance(network, nn.Module):
            raise ModelError(f"{name} gives {type(network).__name__}, where a torch.nn.Module is expected")
        return network

    settings = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
                for key, parameter in signature.parameters.items()
                if key not in GIVEN and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)]
    program = [inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY) for key in GIVEN]
    build.__signature__ = inspect.Signature([*settings, *program])    # type: ignore[attr-defined]
    return build
