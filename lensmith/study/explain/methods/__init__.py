"""Ways to explain a score by the pixels of its picture, one file each, and the table of all."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from lensmith.study.explain.methods.eigen_cam import eigen_cam
from lensmith.study.explain.methods.grad_cam import grad_cam
from lensmith.study.explain.methods.grad_cam_plus_plus import grad_cam_plus_plus
from lensmith.study.explain.methods.guided_backpropagation import guided_backpropagation
from lensmith.study.explain.methods.integrated_gradients import integrated_gradients
from lensmith.study.explain.methods.layer_cam import layer_cam
from lensmith.study.explain.methods.occlusion import occlusion
from lensmith.study.explain.methods.rise import rise
from lensmith.study.explain.methods.saliency import saliency
from lensmith.study.explain.methods.score_cam import score_cam
from lensmith.study.explain.methods.smooth_grad import smooth_grad


@dataclass(frozen=True)
class Method:
    """One entry of the table `METHODS`."""

    # From a Subject and its picture, float [channels, height, width] in its own units, to float [height, width]; its
    # keyword parameters are its settings.
    explain: Callable[..., Tensor]
    words: str                  # what its map shows, in a clause
    of_maps: bool = False       # whether it is made of the maps of layers, which can be named
    gradients: bool = True      # whether it differentiates the network


METHODS: Mapping[str, Method] = {
    "grad_cam": Method(grad_cam, "where the maps of a layer speak for the answer", of_maps=True),
    "grad_cam_plus_plus": Method(grad_cam_plus_plus, "as grad_cam, where each of several objects counts", of_maps=True),
    "layer_cam": Method(layer_cam, "as grad_cam, cell by cell", of_maps=True),
    "score_cam": Method(score_cam, "what the score is through each map of a layer", of_maps=True, gradients=False),
    "eigen_cam": Method(eigen_cam, "what a layer reacts to most, whatever the answer", of_maps=True, gradients=False),
    "saliency": Method(saliency, "the pixels by which the score would change most"),
    "smooth_grad": Method(smooth_grad, "as saliency, the mean over pictures with noise"),
    "integrated_gradients": Method(integrated_gradients, "what each pixel adds to the score of an empty picture"),
    "guided_backpropagation": Method(guided_backpropagation, "the pixels that raise the score through every ReLU"),
    "occlusion": Method(occlusion, "what the score loses where a patch is covered", gradients=False),
    "rise": Method(rise, "where the score is higher when the pixel is seen", gradients=False),
}
