"""A picture that is learned by the amplitudes of its spectrum."""

import torch
from torch import Tensor, nn

# Red, green and blue of light, of blue against yellow and of red against green, the directions in which the colours of
# natural scenes vary independently (Ruderman, Cronin and Chiao 1998), each as long as it may vary beside the first.
_COLOURS = ((1.0, 0.2, 0.15), (1.0, 0.2, -0.15), (1.0, -0.4, 0.0))
_FIRST = 0.01     # deviation of the amplitudes that it begins with
_SCALE = 4.0      # of the numbers before the sigmoid


class Spectrum(nn.Module):
    """A picture from 0 to 1 whose parameters are the amplitudes of its frequencies, those of frequency f divided by f.

    Gradient ascent then moves large shapes as easily as single pixels, as in natural pictures, whose spectra fall like
    1/f (Olah et al. 2017, doi 10.23915/distill.00007). Three channels vary along the colours of photographs.
    """

    scale: Tensor      # float [height, width // 2 + 1]
    colours: Tensor    # float [channels, channels]

    def __init__(self, channels: int, height: int, width: int, drawn: torch.Generator):
        super().__init__()
        self.size = height, width
        frequency = (torch.fft.fftfreq(height)[:, None].square() + torch.fft.rfftfreq(width)[None].square()).sqrt()
        self.register_buffer("scale", (height * width) ** 0.5 / frequency.clamp(min=1 / max(height, width)))
        self.register_buffer("colours", torch.tensor(_COLOURS) if channels == 3 else torch.eye(channels))
        self.amplitudes = nn.Parameter(_FIRST * torch.randn(channels, *frequency.shape, 2, generator=drawn))

    def picture(self) -> Tensor:
        """float [channels, height, width], 0 to 1."""
        waves = torch.view_as_complex(self.amplitudes) * self.scale
        plain = torch.fft.irfft2(waves, s=self.size) / _SCALE
        return (self.colours @ plain.flatten(1)).view(-1, *self.size).sigmoid()
