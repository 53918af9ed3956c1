"""The curve of a range test of the learning rate as SVG."""

import math
from collections.abc import Sequence

from lensmith.base.svg import BLUE, GREEN, axes, document, line, spanning, words


def rate_chart(rates: Sequence[float], losses: Sequence[float], *, suggestion: float | None) -> str:
    """The loss over the logarithm of the rate, with the suggested rate marked. What lies above the first losses by half
    is cut off: a loss that has blown up would flatten all else."""
    most = 1.5 * losses[0]
    shown = [(math.log10(rate), loss) for rate, loss in zip(rates, losses, strict=True) if loss <= most]
    across = spanning([power for power, _ in shown], 44, 440)
    up = spanning([loss for _, loss in shown], 206, 26)
    parts = axes(across, up, title="loss", below="power of ten of the rate", whole=True)
    parts.append(line([(across(power), up(loss)) for power, loss in shown], colour=BLUE))
    if suggestion is not None:
        x = across(math.log10(suggestion))
        parts += [line([(x, 26), (x, 206)], colour=GREEN, width=0.8, style=' stroke-dasharray="1 2"'),
                  words(x + 5, 200, f"--rate {suggestion:g}", colour=GREEN)]
    return document("rates", 452, 240, parts)
