"""What an augmentation is: a frozen dataclass with its settings, which checks them and changes batches."""

from typing import Protocol

from lensmith.base.errors import UserError
from lensmith.data.batches.augment.changes import Changes


class Augmentation(Protocol):
    """A frozen dataclass. Its fields are settings `augment.*` of a recipe, whose defaults change nothing."""

    def check(self) -> None:
        """Raises UserError where a setting has a value that cannot be."""

    def apply(self, changes: Changes) -> None:
        """Add to `changes` what is done to the batch. Called where a setting differs from its default."""


def check_within(name: str, value: float, least: float, most: float) -> None:
    """Raises UserError where the setting `name` does not lie between `least` and `most`."""
    if not least <= value <= most:
        raise UserError(f"augment.{name} must lie between {least} and {most}; got {value}")
