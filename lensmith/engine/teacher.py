"""A network that has learned already, from whose answers another one learns beside the truth."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lensmith.tasks.losses.distillation import teacher_divergence
from lensmith.tasks.task import Task

TERM = "teacher"    # the name of its loss term; of several targets it stands behind theirs


@dataclass(frozen=True)
class Teacher:
    """Distillation (Hinton et al. 2015, arXiv 1503.02531): the loss becomes

        (1 - weight) truth + weight sum_t divergence_t

    with the divergence from the teacher's answer to each target t, which it gives to the same augmented pictures. It
    draws nothing at random, and its weights do not move.
    """

    network: nn.Module            # in evaluation mode, on the device of the pictures
    task: Task                    # of `network`
    of: Task                      # of the network that learns
    size: tuple[int, int]         # (height, width) of the pictures that `network` is used to
    classes: Mapping[str, list[int]]    # target -> the number that `network` has for each class of the learning one
    weight: float                 # from 0 to 1
    temperature: float            # by which the logits of both are divided

    def join(self, truth: Mapping[str, Tensor], output: Any, images: Tensor) -> dict[str, Tensor]:
        """The loss terms by name, of the truth and of the teacher, for the `output` of the network that learns."""
        learned, taught = self.of.class_logits(output), self.answers(images)
        terms = {name: (1 - self.weight) * term for name, term in truth.items()}
        for name, wanted in taught.items():
            logits = learned[name]
            if wanted.shape[2:] != logits.shape[2:]:    # pixels of pictures that were resized for the teacher
                wanted = F.interpolate(wanted, logits.shape[2:], mode="bilinear", align_corners=False)
            terms[TERM if len(taught) == 1 else f"{name}/{TERM}"] = \
                self.weight * teacher_divergence(logits, wanted, temperature=self.temperature)
        return terms

    @torch.no_grad()
    def answers(self, images: Tensor) -> dict[str, Tensor]:
        """float [batch, classes, ...] by target: the teacher's logits for pictures in their own units, its classes in
        the order of the learning network's."""
        if tuple(images.shape[2:]) != self.size:
            images = F.interpolate(images.float(), self.size, mode="bilinear", align_corners=False, antialias=True)
        logits = self.task.class_logits(self.network(images))
        return {name: logits[name].float()[:, numbers] for name, numbers in self.classes.items()}
