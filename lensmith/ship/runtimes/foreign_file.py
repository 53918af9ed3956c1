"""A file that others have written in the place of one of Lensmith's: pictures as they are in, named tensors out."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from lensmith.base.errors import ModelError
from lensmith.ship.runtimes.form_file import Signature
from lensmith.ship.runtimes.runtime import OpenFile

_TYPES = {"float32": torch.float32, "float16": torch.float16, "uint8": torch.uint8}
# The kinds that such a file can give, each with what makes its scores of what a network ends in.
_FROM_LOGITS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "label": lambda logits: logits.softmax(1), "tags": torch.sigmoid, "numbers": lambda numbers: numbers,
    "mask": lambda logits: logits.softmax(1),
}


class ForeignFile:
    """An `OpenFile` that brings pictures to what the file takes, and what comes out to probabilities of one target."""

    def __init__(self, run: OpenFile, signature: Signature, kind: str):
        self.run, self.signature, self.kind = run, signature, kind

    def __call__(self, pictures: Tensor) -> dict[str, Tensor]:
        """pictures: uint8 [batch, channels, height, width] -> as `file_facts.outputs_of`."""
        batch = self.signature.batch or len(pictures)
        scores = torch.cat([self._scores(self.run(self._brought(part, batch)), part) for part in pictures.split(batch)])
        return {"mask": scores.argmax(1).to(torch.uint8), "mask_scores": scores} if self.kind == "mask" else \
            {self.kind: scores}

    def _brought(self, pictures: Tensor, batch: int) -> Tensor:
        """The pictures standardised and in the file's order of axes. Where fewer than `batch` are left, the first one
        is repeated."""
        sign = self.signature
        if len(pictures) < batch:
            pictures = torch.cat((pictures, pictures[:1].expand(batch - len(pictures), -1, -1, -1)))
        if sign.bgr:    # an alpha channel stays the last
            pictures = torch.cat((pictures[:, :3].flip(1), pictures[:, 3:]), 1)
        if sign.type != "uint8":
            mean, deviation = (torch.tensor(numbers)[:, None, None] for numbers in (sign.mean, sign.deviation))
            pictures = ((pictures / 255 - mean) / deviation).to(_TYPES[sign.type])
        return pictures.permute(0, 2, 3, 1) if sign.channels_last else pictures

    def _scores(self, outputs: Mapping[str, Tensor], pictures: Tensor) -> Tensor:
        """float [batch, classes] of whole pictures, or of a mask [batch, classes, height, width] of the pictures."""
        if self.signature.output not in outputs:
            raise ModelError(f"the file gives no output {self.signature.output!r} any more, and it did when it was "
                             "looked into")
        scores = outputs[self.signature.output][: len(pictures)].float()
        if self.kind != "mask":
            scores = scores.flatten(1)
        elif scores.shape[2:] != pictures.shape[2:]:    # many networks give a quarter of the size
            scores = F.interpolate(scores, pictures.shape[2:], mode="bilinear", align_corners=False)
        return _FROM_LOGITS[self.kind](scores) if self.signature.logits else scores
