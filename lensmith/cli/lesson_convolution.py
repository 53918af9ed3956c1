"""The verb `lesson convolution`: what a convolution computes, number by number."""

from pathlib import Path
from typing import Annotated

import typer

from lensmith.cli.lesson import LessonOut, give_lesson
from lensmith.cli.options import Json


def lesson_convolution(
    picture: Annotated[Path | None, typer.Argument(help="A picture of yours; by itself a small drawn one.")] = None,
    kernel: Annotated[list[str] | None, typer.Option(help="A name, as sobel, blur or sharpen, or the values, as "
                                                          "\"1 0 -1; 2 0 -2; 1 0 -1\"; may be given several times.")]
        = None,
    padding: Annotated[str, typer.Option(help="Zeros on each side, or same, or valid.")] = "0",
    stride: Annotated[int, typer.Option(help="Pixels from one window to the next.")] = 1,
    dilation: Annotated[int, typer.Option(help="Pixels from one value of the kernel to the next.")] = 1,
    channels: Annotated[int, typer.Option(help="3 for red, green and blue, 1 for gray.")] = 1,
    filters: Annotated[int | None, typer.Option(help="How many kernels; more than are given are taken from those with "
                                                     "a name.")] = None,
    size: Annotated[int, typer.Option(help="The longer edge to which the picture is brought, in pixels.")] = 64,
    out: LessonOut = None, as_json: Json = False,
) -> None:
    """What a convolution computes: a picture as numbers, window by window products and sums, channels and filters."""
    from lensmith.lessons.convolution.layer import read_layer
    from lensmith.lessons.convolution.lesson import convolution_lesson
    from lensmith.lessons.convolution.picture import read_lesson_picture
    from lensmith.lessons.lesson import lesson_folder

    layer = read_layer(kernel or ["sobel"], padding=padding, stride=stride, dilation=dilation, channels=channels,
                       filters=filters)
    folder = lesson_folder("convolution", out)
    give_lesson(convolution_lesson(read_lesson_picture(picture, size), layer), folder, as_json=as_json)
