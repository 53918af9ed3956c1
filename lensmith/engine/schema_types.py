"""Numbers with their bounds, as the schemas of a run folder's files share them."""

from typing import Annotated

from pydantic import Field

Count = Annotated[int, Field(ge=0, lt=2**53)]     # whole numbers that a float holds too
Number = Annotated[float, Field(ge=-1e100, le=1e100, allow_inf_nan=False)]    # so that differences are finite
Maybe = Number | None                             # NaN and infinite numbers are written as null
EDGE = 1 << 20                                    # pixels of a picture's edge, which no picture has
