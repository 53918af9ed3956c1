"""LayerCAM."""

from torch import Tensor

from lensmith.study.explain.activation_map import from_gradients
from lensmith.study.explain.subject import Subject


def layer_cam(subject: Subject, picture: Tensor) -> Tensor:
    """LayerCAM (Jiang et al. 2021): relu(sum_k relu(d score / d A_k) A_k), each cell by its own slope, so that fine
    layers serve too."""
    return from_gradients(subject, picture, lambda maps, slopes: (slopes.relu() * maps).sum(0))
