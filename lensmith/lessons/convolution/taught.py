"""What a lesson on convolution is about: a layer, a picture, the networks beside it."""

from collections.abc import Sequence
from dataclasses import dataclass

from lensmith.lessons.convolution.arithmetic import Pair, Planes
from lensmith.lessons.convolution.layer import ConvolutionLayer, check_fits
from lensmith.lessons.convolution.network_to_beat import SideBySide
from lensmith.lessons.convolution.own_network import FirstConvolution
from lensmith.lessons.convolution.picture import LessonPicture, as_numbers, busiest_patch
from lensmith.lessons.convolution.two_halves import TwoHalves

_PATCH = 8    # pixels: the edge of the part of the picture whose numbers are shown, or the kernel's span


@dataclass(frozen=True)
class Taught:
    """What the lesson is about; its page, its lines and its facts are made of this."""

    picture: LessonPicture
    layer: ConvolutionLayer
    corner: Pair                    # row and column at which the patch begins whose numbers are shown
    patch: Planes                   # whole numbers [channels][rows][columns]
    halves: TwoHalves
    trained: SideBySide | None      # None where nothing was trained
    own: FirstConvolution | None    # None where no run was named
    command: Sequence[str]          # by which the lesson was asked for

    @property
    def output_size(self) -> Pair:
        return self.layer.geometry.output_size(self.picture.size)


def about(picture: LessonPicture, layer: ConvolutionLayer, *, halves: TwoHalves, trained: SideBySide | None = None,
          own: FirstConvolution | None = None,
          command: Sequence[str] = ("lensmith", "lesson", "convolution")) -> Taught:
    """What there is to teach of a layer on a picture: the patch with most to see is chosen. Raises UserError for a
    picture that is smaller than the kernel."""
    check_fits(layer, picture.size, picture.name)
    rows, columns = (min(edge, max(_PATCH, span))
                     for edge, span in zip(picture.size, layer.geometry.span, strict=True))
    corner = busiest_patch(picture.gray[0], (rows, columns))
    patch = [[line[corner[1]: corner[1] + columns] for line in plane[corner[0]: corner[0] + rows]]
             for plane in as_numbers(picture.planes(layer.channels))]
    return Taught(picture, layer, corner, patch, halves, trained, own, command)
