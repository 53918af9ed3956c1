"""Parts of a network that are frozen, by depth or by name, when they are unfrozen, and the rates by depth."""

import fnmatch
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from torch import nn

from lensmith.base.errors import UserError, count, nearest
from lensmith.models.network import Network

NORMS = "norms"    # what `learner.freeze` calls all norms of the backbone
_NORM = ("Norm", "Scale")    # in the names of layers that belong to the one before them


def blocks(module: nn.Module, front: str = "") -> list[list[str]]:
    """The parameters of a module by depth: their names, `front` before each, block after block, from the picture on.

    A block is a module with a forward of its own, and the norms that follow it; what only holds others in order, as a
    Sequential does, is opened.
    """
    grouped: list[list[str]] = []
    while not list(module.parameters(recurse=False)):    # what holds one module alone has no depth of its own
        inner = [(name, child) for name, child in module.named_children() if any(True for _ in child.parameters())]
        if len(inner) != 1:
            break
        front, module = f"{front}{inner[0][0]}.", inner[0][1]
    for follows, names in _layers(module, front):
        if follows and grouped:
            grouped[-1] += names
        elif names:
            grouped.append(names)
    return grouped


def _layers(module: nn.Module, front: str) -> Iterator[tuple[bool, list[str]]]:
    """(whether it belongs to the layer before it, the names of its parameters), layer after layer."""
    names = [f"{front}{name}" for name, _ in module.named_parameters(recurse=False)]
    if names:
        yield True, names
    for name, child in module.named_children():
        if type(child).forward in (nn.Sequential.forward, nn.ModuleList.forward):
            yield from _layers(child, f"{front}{name}.")
        else:
            names = [f"{front}{name}.{key}" for key, _ in child.named_parameters()]
            yield any(word in type(child).__name__ for word in _NORM), names


def freeze(network: Network, what: str | int) -> str:
    """Freeze a part of the network: no gradient is computed for it, and its batch norm is fixed.

    `what` is "backbone", "norms", a number of blocks of the backbone, from the picture on, or a pattern of names as
    `backbone.*1*`. -> what is frozen, in words. Raises UserError for a number or a pattern that fits nothing, and where
    nothing is left that learns.
    """
    parameters = dict(network.named_parameters())
    chosen = _chosen(network, what, list(parameters))
    learning = [name for name, parameter in parameters.items() if parameter.requires_grad and name not in chosen]
    if not learning:
        raise UserError(f"learner.freeze={what!r} leaves nothing that learns: the network has "
                        f"{count(len(parameters), 'parameter')}, and all of them would be frozen. Freeze a number of "
                        "blocks or a pattern of names")
    for name in chosen:
        parameters[name].requires_grad_(False)
    keep_in_evaluation(network, chosen)
    weights, whole = (sum(parameters[name].numel() for name in names) for names in (chosen, parameters))
    if not chosen:
        return f"nothing is frozen ({what}): the backbone has none"
    if what == NORMS:
        return f"frozen ({what}): the norms of the backbone, with the statistics and the " \
            f"{count(len(chosen), 'tensor')} that they have"
    return (f"frozen ({what}): {len(chosen):,} of {count(len(parameters), 'tensor')} with {weights:,} of {whole:,} "
            f"weights; in evaluation mode, batch norm included: {_first(network.frozen)}")


def _chosen(network: Network, what: str | int, known: Sequence[str]) -> set[str]:
    """The names of the parameters that `what` stands for."""
    if str(what).lstrip("-").isdigit():
        depth, number = blocks(network.backbone, "backbone."), int(what)
        if not 1 <= number <= len(depth):
            raise UserError(f"learner.freeze={what}: the backbone has {count(len(depth), 'block')} with weights, from "
                            f"{_owner(depth[0]) if depth else 'none'} to {_owner(depth[-1]) if depth else 'none'}: "
                            f"give 1 .. {len(depth)}, backbone, or a pattern of names")
        return {name for block in depth[:number] for name in block}
    pattern = str(what)
    if pattern == NORMS:
        return _norms(network)
    matching = {name for name in known if fnmatch.fnmatchcase(name, pattern) or name.startswith(f"{pattern}.")}
    if not matching:
        raise UserError(f"learner.freeze={what!r}: no parameter has that name.{nearest(pattern, known)} Accepted are "
                        "backbone, norms, the number of blocks to freeze, and patterns of names such as "
                        "'backbone.*1*'; `lensmith inspect` shows the names")
    return matching


def _norms(network: Network) -> set[str]:
    """The names of the parameters of all norms of the backbone; none where it has no norm."""
    return {f"backbone.{name}.{key}" for name, module in network.backbone.named_modules()
            if _NORM[0] in type(module).__name__ for key, _ in module.named_parameters(recurse=False)}


def _owner(names: Sequence[str]) -> str:
    """The module that a block's first parameter belongs to."""
    return names[0].rpartition(".")[0]


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "") if names else \
        "no whole module"


def keep_in_evaluation(network: Network, parameters: Collection[str]) -> None:
    """Keep in evaluation mode, whatever `train` says, each module whose parameters are all among these names: its batch
    norm neither learns nor counts, and nothing in it is dropped."""
    frozen: list[str] = []
    for name, module in network.named_modules():
        inside = any(name.startswith(f"{outer}.") for outer in frozen)
        names = [f"{name}.{key}" for key, _ in module.named_parameters()]
        if name and not inside and names and all(key in parameters for key in names):
            frozen.append(name)
    network.frozen = tuple(frozen)
    network.train(network.training)


def depth_rates(network: nn.Module, decay: float) -> dict[str, float]:
    """The factor on the learning rate of each parameter of the backbone: of n blocks, block i = 1 .. n has the factor
    decay^(n - i + 1), the last one decay (Howard and Ruder 2018, arXiv 1801.06146, section 3.2)."""
    if decay == 1:
        return {}
    depth = blocks(network.get_submodule("backbone"), "backbone.")
    return {name: decay ** (len(depth) - number) for number, names in enumerate(depth) for name in names}


@dataclass(frozen=True)
class Unfreezing:
    """Gradual unfreezing: groups of parameters that are frozen in the first epochs.

    Invariant: what learns in an epoch depends on its number alone, so that a resumed run has the same.
    """

    groups: tuple[tuple[int, tuple[str, ...]], ...]    # (epochs that go before, names of parameters)
    never: tuple[str, ...] = ()                        # what stays frozen in all epochs

    def settle(self, network: nn.Module, epoch: int) -> None:
        """Let learn what does in this `epoch`, counted from 0."""
        parameters = dict(network.named_parameters())
        still_frozen = {name for begins, names in self.groups if epoch < begins for name in names}
        for name in {name for _, names in self.groups for name in names}:
            parameters[name].requires_grad_(name not in still_frozen)
        if isinstance(network, Network):
            keep_in_evaluation(network, still_frozen | set(self.never))

    def in_words(self) -> str:
        """`the backbone is unfrozen from its last block on: 10 tensors after epoch 1, 12 tensors after epoch 2`"""
        groups = ", ".join(f"{count(len(names), 'tensor')} after epoch {begins}" for begins, names in self.groups)
        return f"the backbone is unfrozen from its last block on: {groups}"


def gradual_unfreezing(network: Network, epochs: Sequence[int], *, planned: int) -> Unfreezing:
    """The backbone in as many groups of blocks as there are `epochs`, the last blocks first: a group learns when that
    many epochs have passed. Raises UserError for epochs that do not ascend or lie outside of the run of `planned`
    epochs, and for more groups than there are blocks that may learn."""
    if not epochs or list(epochs) != sorted(set(epochs)) or not 1 <= epochs[0] <= epochs[-1] < planned:
        raise UserError(f"learner.unfreeze={list(epochs)}: give the numbers of epochs after which the next part of the "
                        f"backbone learns too, ascending, from 1 to {planned - 1}, as in [1, 2]: the run has "
                        f"{count(planned, 'epoch')}")
    learning = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    free = [names for block in blocks(network.backbone, "backbone.")
            if (names := [name for name in block if name in learning])]
    if len(free) < len(epochs):
        raise UserError(f"learner.unfreeze={list(epochs)} unfreezes the backbone in {count(len(epochs), 'group')}, "
                        f"and {count(len(free), 'block')} of it may learn: give fewer epochs, or freeze less")
    if all(name.startswith("backbone.") for name in learning):
        raise UserError(f"learner.unfreeze={list(epochs)} begins with the head alone, and this network has none apart "
                        "from its backbone: leave it out")
    groups, last = [], len(free)
    for number, begins in enumerate(epochs, start=1):
        first = len(free) - len(free) * number // len(epochs)
        groups.append((begins, tuple(name for names in free[first:last] for name in names)))
        last = first
    never = tuple(name for name, parameter in network.named_parameters() if not parameter.requires_grad)
    return Unfreezing(tuple(groups), never)
