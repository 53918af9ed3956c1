"""Darknet's networks as the backbones that a recipe names, and the weights files that belong to them."""

from pathlib import Path

from torch import Tensor

from lensmith.models.backbone import Backbone
from lensmith.models.darknet.cfg_file import Config, read_cfg, with_classes
from lensmith.models.darknet.network import Darknet, trunk
from lensmith.models.darknet.weights_file import layers_in, read_darknet_weights


class NamedDarknet(Darknet):
    """The network of a cfg file, its last layers perhaps for other classes; `file_config` is the file as it is."""

    def __init__(self, file_config: Config, config: Config, *, inputs: int, size: tuple[int, int]):
        super().__init__(config, inputs=inputs, size=size)
        self.file_config = file_config


def darknet_network(cfg: str, *, layers: int = 0, inputs: int, size: tuple[int, int], outputs: int) -> Backbone:
    """The network of a cfg file, whole, its last layers set to `outputs` classes; with `layers` only so many of its
    first ones, as a backbone that gives the last map of each stride. Raises ModelError for a file that is no cfg."""
    config = read_cfg(Path(cfg).expanduser())
    if layers:
        return trunk(config, layers=layers, inputs=inputs, size=size)
    network = NamedDarknet(config, config, inputs=inputs, size=size)
    classes = [output.classes for output in network.outputs] + [network.channels[-1]] * network.scores
    if all(count == outputs for count in classes):
        return network
    return NamedDarknet(config, with_classes(config, outputs), inputs=inputs, size=size)


def weights_for(network: Darknet, file: Path) -> dict[str, Tensor]:
    """The floats of a weights file under the names of the network's tensors, in the shapes that the file's own cfg
    gives them. A file of the first layers alone, as darknet53.conv.74, gives those of these. Raises ModelError where
    they are not those of that cfg."""
    config = network.file_config if isinstance(network, NamedDarknet) else network.config
    same = Darknet(config, inputs=network.inputs, size=network.size)
    first = layers_in(file, same)
    read_darknet_weights(file, same, layers=first)
    return {name: tensor for name, tensor in same.state_dict().items()
            if first is None or not name.startswith("layers.") or int(name.split(".")[1]) < first}
