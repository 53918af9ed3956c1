"""Darknet's yolo, gaussian_yolo and region layers: what a cfg says of them, and how their maps become boxes."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from lensmith.models.darknet.cfg_file import MOST, Section
from lensmith.models.darknet.cfg_options import BESIDE_CLASSES

# The logarithm of a width over that of its anchor is cut off here. Real ones stay below 5, and (e^20)^2 is a float32.
_MOST_STRETCH = 20.0
IOU_KINDS = ("mse", "iou", "giou", "diou", "ciou")
NMS_KINDS = ("default", "greedynms", "diounms", "cornersnms")
POINTS = ("center", "left_top", "right_bottom")


@dataclass(frozen=True)
class YoloLayer:
    """A `yolo` layer (YOLOv3, v4): its map is [batch, anchors x (4 + 1 + classes), height, width].

    Of a `gaussian_yolo` layer (Choi et al. 2019, "Gaussian YOLOv3", arXiv 1904.04620), which is `uncertain`, it is
    [batch, anchors x (8 + 1 + classes), height, width]: the mean and the deviation of x, of y, of width, of height.
    """

    number: int                                # of the layer in the file, counted from 0
    stride: int                                # pixels of the picture per cell
    classes: int
    anchors: tuple[tuple[float, float], ...]   # (width, height) in pixels of the network's picture: those of `mask`
    mask: tuple[int, ...]                      # which of `all_anchors` this layer has
    all_anchors: tuple[tuple[float, float], ...]
    scale_x_y: float = 1.0                     # how far a centre may leave its cell: 1 not at all
    uncertain: bool = False                    # its boxes have standard deviations, which lower their scores
    point: str = "center"                      # of the box that is predicted, one of POINTS
    new_coords: bool = False                   # the convolution before is logistic already, widths are squares
    ignore_thresh: float = 0.5                 # in training: a box that overlaps any object more is no background
    truth_thresh: float = 1.0
    iou_thresh: float = 1.0                    # in training: other anchors that overlap an object more take it too
    iou_loss: str = "mse"                      # one of IOU_KINDS
    iou_normalizer: float = 0.75
    obj_normalizer: float = 1.0
    cls_normalizer: float = 1.0
    label_smooth_eps: float = 0.0
    nms_kind: str = "default"
    beta_nms: float = 0.6

    @property
    def channels(self) -> int:
        return len(self.anchors) * (BESIDE_CLASSES["gaussian_yolo" if self.uncertain else "yolo"] + self.classes)


@dataclass(frozen=True)
class RegionLayer:
    """A `region` layer (YOLOv2): its map is [batch, anchors x (4 + 1 + classes), height, width]."""

    number: int
    stride: int
    classes: int
    anchors: tuple[tuple[float, float], ...]   # (width, height) in pixels of the network's picture; the file has cells
    softmax: bool = False                      # classes exclude each other
    thresh: float = 0.5                        # in training: a box that overlaps any object more is no background
    coord_scale: float = 1.0
    object_scale: float = 1.0
    noobject_scale: float = 1.0
    class_scale: float = 1.0

    @property
    def channels(self) -> int:
        return len(self.anchors) * (5 + self.classes)


def decode_yolo(raw: Tensor, layer: YoloLayer | RegionLayer, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """The boxes of one layer's map, for pictures of `size` (height, width), as Darknet's get_yolo_box and
    get_gaussian_yolo_box compute them.

    -> corners float [batch, n, 4] (x0 y0 x1 y1, network pixels, not clipped), objectness [batch, n] and class
    probabilities [batch, n, classes], which Darknet multiplies by the objectness; n = anchors x height x width of the
    map, in this order. Differentiable. The objectness of an uncertain box is lowered by its uncertainty.
    """
    if isinstance(layer, YoloLayer) and layer.uncertain:
        raw = without_uncertainty(raw, layer)
    batch, _, rows, columns = raw.shape
    parts = raw.view(batch, len(layer.anchors), 5 + layer.classes, rows, columns).permute(0, 1, 3, 4, 2)
    centre, extent, objectness, classes = parts.split((2, 2, 1, layer.classes), 4)
    anchors = raw.new_tensor(layer.anchors)[:, None, None]    # [anchors, 1, 1, 2]
    cells = torch.stack(torch.meshgrid(torch.arange(columns, device=raw.device), torch.arange(rows, device=raw.device),
                                       indexing="xy"), 2)
    cell = raw.new_tensor((size[1] / columns, size[0] / rows))
    if isinstance(layer, YoloLayer) and layer.new_coords:
        extent = 4 * extent.square() * anchors
    else:
        centre, objectness = centre.sigmoid(), objectness.sigmoid()
        extent = extent.clamp(max=_MOST_STRETCH).exp() * anchors
        softmax = isinstance(layer, RegionLayer) and layer.softmax
        classes = classes.softmax(4) if softmax else classes.sigmoid()
    if isinstance(layer, YoloLayer) and layer.scale_x_y != 1:
        centre = centre * layer.scale_x_y - (layer.scale_x_y - 1) / 2
    centre = (centre + cells) * cell
    if isinstance(layer, YoloLayer) and layer.point != "center":    # the corner that is predicted is half a box away
        centre = centre + extent / 2 if layer.point == "left_top" else centre - extent / 2
    corners = torch.cat((centre - extent / 2, centre + extent / 2), 4)
    return corners.flatten(1, 3), objectness.flatten(1), classes.flatten(1, 3)


def without_uncertainty(raw: Tensor, layer: YoloLayer) -> Tensor:
    """The map of a gaussian_yolo layer as that of a yolo layer, [batch, anchors x (5 + classes), height, width].

    The objectness o, before the sigmoid, becomes the one whose sigmoid is sigmoid(o) (1 - u), with u the mean of the
    four standard deviations: Darknet multiplies the probability of each class by both.
    """
    batch, _, rows, columns = raw.shape
    numbers = raw.view(batch, len(layer.anchors), 9 + layer.classes, rows, columns)
    numbers = numbers if numbers.dtype == torch.float64 else numbers.float()
    certainty = 1 - numbers[:, :, 1:8:2].sigmoid().mean(2, keepdim=True)
    objectness = numbers[:, :, 8:9].sigmoid() * certainty
    return torch.cat((numbers[:, :, 0:8:2], objectness.logit(), numbers[:, :, 9:]), 2).flatten(1, 2)


def read_yolo(section: Section, number: int, cell: tuple[float, float]) -> YoloLayer:
    """What a [yolo] or [Gaussian_yolo] section says; `cell` is the (width, height) of a cell in pixels of the picture.
    Raises ModelError for anchors and masks that do not match."""
    total = section.integer("num", 1, least=1, most=1000)
    anchors = _anchors(section, total)
    mask = section.integers("mask", least=0, most=MOST) or tuple(range(total))
    for index in mask:
        if index >= total:
            section.refuse(f"mask = {','.join(map(str, mask))} names anchor {index}, and num = {total}: anchors are "
                           f"counted from 0 to {total - 1}", "mask")
    return YoloLayer(
        number, round(max(cell)), section.integer("classes", 20, least=1), tuple(anchors[index] for index in mask),
        mask, anchors,
        scale_x_y=section.number("scale_x_y", 1, least=0.01, most=100),
        uncertain=section.kind == "gaussian_yolo", point=section.word("yolo_point", "center", POINTS),
        new_coords=bool(section.integer("new_coords", 0)),
        ignore_thresh=section.number("ignore_thresh", 0.5), truth_thresh=section.number("truth_thresh", 1),
        iou_thresh=section.number("iou_thresh", 1), iou_loss=section.word("iou_loss", "mse", IOU_KINDS),
        iou_normalizer=section.number("iou_normalizer", 0.75), obj_normalizer=section.number("obj_normalizer", 1),
        cls_normalizer=section.number("cls_normalizer", 1), label_smooth_eps=section.number("label_smooth_eps", 0),
        nms_kind=section.word("nms_kind", "default", NMS_KINDS),
        beta_nms=section.number("beta_nms", 0.6))


def read_region(section: Section, number: int, cell: tuple[float, float]) -> RegionLayer:
    """What a [region] section says; `cell` as of read_yolo. Raises ModelError for anchors that are not `num`, and for
    trees of classes."""
    if "tree" in section.options:
        section.refuse("tree is not supported: classes that contain each other need a file of their own", "tree")
    section.must_be_off("background")
    if section.integer("coords", 4) != 4:
        section.refuse(f"coords = {section.options['coords'].value} is not supported; only coords = 4 is", "coords")
    total = section.integer("num", 1, least=1, most=1000)
    anchors = tuple((width * cell[0], height * cell[1]) for width, height in _anchors(section, total))
    scales: dict[Literal["coord_scale", "object_scale", "noobject_scale", "class_scale"], float] = {
        "coord_scale": 1, "object_scale": 1, "noobject_scale": 1, "class_scale": 1}
    return RegionLayer(number, round(max(cell)), section.integer("classes", 20, least=1), anchors,
                       softmax=bool(section.integer("softmax", 0)), thresh=section.number("thresh", 0.5),
                       **{key: section.number(key, value) for key, value in scales.items()})


def _anchors(section: Section, total: int) -> tuple[tuple[float, float], ...]:
    values = section.numbers("anchors", least=1e-3, most=1e5)
    if len(values) != 2 * total:
        section.refuse(f"anchors has {len(values)} numbers where num = {total} needs {2 * total}, a width and a height "
                       "for each", "anchors")
    return tuple(zip(values[::2], values[1::2], strict=True))
