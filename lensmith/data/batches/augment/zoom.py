"""Zoom: what a picture shows, larger or smaller, at another position."""

from dataclasses import dataclass

from lensmith.base.errors import UserError
from lensmith.data.batches.augment.changes import Changes
from lensmith.data.batches.augment.random_streams import ZOOM


@dataclass(frozen=True, kw_only=True)
class Zoom:
    """Shows what is in the picture, without the padding around it, at another size and a random position."""

    zoom: list[float] | None = None    # [least, most] factor on the size; as likely to halve as to double it

    def check(self) -> None:
        zoom = self.zoom
        if zoom is not None and not (len(zoom) == 2 and 0.05 <= zoom[0] <= zoom[1] <= 20):
            raise UserError(f"augment.zoom must be [least, most], factors from 0.05 to 20, for example [0.5, 1.5]; got "
                            f"{zoom}")

    def apply(self, changes: Changes) -> None:
        least, most = self.zoom or (1.0, 1.0)
        # One factor for all tiles of a picture, as of one camera; evenly drawn on the logarithm of the factors.
        changes.placement.zoom = least * (most / least) ** changes.uniform(ZOOM).numpy()
