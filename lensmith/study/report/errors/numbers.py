"""Wrong numbers: the worse, the further one of them is off, in standard deviations of the truth."""

from collections.abc import Sequence

from torch import Tensor

from lensmith.values.labels import Numbers


def how_wrong(truth: Numbers, predicted: Numbers, pictures: int, classes: int) -> Tensor:
    """float [pictures, quantities]: |prediction - truth| of each quantity, in its own unit."""
    return (predicted.values - truth.values).abs()


def scaled_by(truth: Numbers) -> Tensor:
    return truth.values


def both_in_words(truth: Numbers, predicted: Numbers, names: Sequence[str]) -> tuple[str, str]:
    """`kg 12.5, years 3`, of each."""
    return _named(truth, names), _named(predicted, names)


def _named(numbers: Numbers, names: Sequence[str]) -> str:
    return ", ".join(f"{name} {number:.4g}" for name, number in zip(names, numbers.values.tolist(), strict=True))
