"""What a trained network knows of the sets that it is measured on, so that these need not tell it themselves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class KnownClasses:
    """The targets and classes of a network. A set that is measured on is read for these, and may show one class alone,
    of which nothing could be learned."""

    classes: Mapping[str, Sequence[str]]                           # target -> its classes, or its quantities
    ids: Mapping[str, str] = field(default_factory=dict)           # what the ids of masks are called, as data.ids
