"""Views of a network, one file each, and the table of all."""

from collections.abc import Mapping, Sequence
from inspect import signature
from typing import Any

from lensmith.base.errors import UserError, choose
from lensmith.study.explain.views.channel_pictures import ChannelPictures, channel_pictures, draw_channel_pictures
from lensmith.study.explain.views.class_image import ClassImages, class_image, draw_class_image
from lensmith.study.explain.views.embedding import Embedding, draw_embedding, embedding
from lensmith.study.explain.views.feature_maps import FeatureMaps, draw_feature_maps, feature_maps
from lensmith.study.explain.views.filters import Filters, draw_filters, filters
from lensmith.study.explain.views.neighbours import Neighbours, draw_neighbours, neighbours
from lensmith.study.explain.views.smallest_change import SmallestChange, draw_smallest_change, smallest_change
from lensmith.study.explain.views.view import View

VIEWS: Mapping[str, View] = {
    "filters": View(filters, Filters, draw_filters, "nothing", "the weights of a layer as pictures", layers=-1),
    "feature_maps": View(feature_maps, FeatureMaps, draw_feature_maps, "pictures",
                         "what the layers give for a picture, map by map", layers=-1),
    "class_image": View(class_image, ClassImages, draw_class_image, "nothing",
                        "a picture that is made until the network sees a class in it, or until a channel is excited",
                        layers=1, of_class=True),
    "channel_pictures": View(channel_pictures, ChannelPictures, draw_channel_pictures, "set",
                             "the pictures that excite a channel most, and where in them", layers=1),
    "neighbours": View(neighbours, Neighbours, draw_neighbours, "pictures and set",
                       "the pictures that the network takes for most like a picture", layers=1),
    "embedding": View(embedding, Embedding, draw_embedding, "set",
                      "a map of pictures on which those that are alike to the network lie near each other", layers=1),
    "smallest_change": View(smallest_change, SmallestChange, draw_smallest_change, "pictures",
                            "how small a change of every pixel turns the answer", of_class=True),
}


def settings_of_view(name: str) -> dict[str, Any]:
    """The settings of a view with their defaults."""
    parameters = signature(VIEWS[name].look).parameters.values()
    return {one.name: one.default for one in parameters if one.kind is one.KEYWORD_ONLY}


def view_that_gives(result: type[Any]) -> str:
    """The view that gives results of a class."""
    return next(name for name, view in VIEWS.items() if view.result is result)


def check_views(names: Sequence[str], settings: Mapping[str, Any], *, layers: Sequence[str] = (),
                wanted: str | None = None, pictures: bool) -> None:
    """Raise UserError for a view that there is not, a setting that none of the views has, pictures that are missing or
    that none looks at, and a layer or a class that none takes."""
    views = [choose(VIEWS, name, "view") for name in names]
    asked = ", ".join(names)
    for key in settings:
        if not any(key in settings_of_view(name) for name in names):
            having = [f"{name}: {', '.join(settings_of_view(name))}" for name in names if settings_of_view(name)]
            raise UserError(f"{asked} has no setting {key!r}. " + (f"Settings are those of {'; '.join(having)}"
                                                                    if having else "It has none"))
    for name, view in zip(names, views, strict=True):
        if not pictures and "pictures" in view.needs:
            raise UserError(f"{name} looks at pictures that are named: name some, as lensmith explain RUN photos/*.jpg "
                            f"--view {name}")
    if pictures and all(view.needs == "nothing" for view in views):
        others = ", ".join(name for name, view in VIEWS.items() if view.needs != "nothing")
        raise UserError(f"{asked} looks at no picture: leave the pictures out, or take {others}")
    if layers and not any(view.layers for view in views):
        raise UserError(f"{asked} is of no layer: leave --layer out, or take "
                        f"{', '.join(name for name, view in VIEWS.items() if view.layers)}")
    for name, view in zip(names, views, strict=True):
        if len(layers) > 1 and view.layers == 1:
            raise UserError(f"{name} is of one layer, and {len(layers)} are named: name one")
    if wanted is not None and not any(view.of_class for view in views):
        raise UserError(f"{asked} is of no class: leave --class out, or take "
                        f"{', '.join(name for name, view in VIEWS.items() if view.of_class)}")
