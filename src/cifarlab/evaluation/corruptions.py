"""Twelve corruptions of images at five severities: noise, blur, weather and digital artefacts.

They are corruptions of CIFAR-10-C, most with its severities (Hendrycks & Dietterich, "Benchmarking
neural network robustness to common corruptions and perturbations", ICLR 2019); defocus, motion,
fog and snow are computed in other ways with a similar effect. Lengths scale with the image's
shorter side. Grey images are corrupted as such: noise has one value for each pixel.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cifarlab.errors import InputError, UsageError

Array = np.ndarray[Any, Any]
Generators = Sequence[np.random.Generator]
# Pixels (float32 ``[n, H, W, C]``, 0 to 1), severity (1 to 5) and a generator for each image;
# the result may be beyond 0 to 1, and is clipped and rounded afterwards.
Corruption = Callable[[Array, int, Generators], Array]

SEVERITIES = (1, 2, 3, 4, 5)
# The image size that the strengths below are for.
SIDE = 32
# Images per batch, so that memory does not grow with their number.
CHUNK = 500


def corrupt(images: Array, name: str, severity: int, seed: int = 0) -> Array:
    """Return the images with a corruption applied.

    The result for an image depends on its pixels, its index and the seed, not on the other images.
    The random numbers are the same at all severities of a corruption, as far as possible, so that
    severities differ in strength alone.

    Args:
        images: uint8 ``[N, H, W, C]``, 0 to 255, C is 3 or 1; not changed.
        name: one of ``CORRUPTIONS``.
        severity: 1 (slight) to 5 (strong).
        seed: 0 or more.

    Returns:
        uint8 ``[N, H, W, C]``, a new array.

    Raises:
        UsageError: an unknown name, another severity, or a negative seed.
        InputError: another dtype or shape.

    Example:
        >>> int(corrupt(np.zeros((2, 32, 32, 3), np.uint8), "brightness", 5).max())
        76
    """
    if name not in CORRUPTIONS:
        raise UsageError(f"corruption {name!r} is not known; take one of {', '.join(CORRUPTIONS)}")
    if severity not in SEVERITIES or seed < 0:
        what = f"severity {severity} with seed {seed}"
        raise UsageError(f"{what}: use a severity from 1 to 5 and a seed of 0 or more")
    if images.dtype != np.uint8 or images.shape[3:] not in ((1,), (3,)) or 0 in images.shape[1:]:
        raise InputError(
            f"images are {images.dtype} {list(images.shape)}; "
            "they must be uint8 [N, height, width, 1 or 3]; convert them first"
        )
    result = np.empty_like(images, order="C")
    for start in range(0, len(images), CHUNK):
        part = images[start : start + CHUNK]
        generators = [np.random.default_rng([seed, start + i]) for i in range(len(part))]
        pixels = part.astype(np.float32) / np.float32(255)
        result[start : start + CHUNK] = _as_bytes(CORRUPTIONS[name](pixels, severity, generators))
    return result


# --- noise


def gaussian_noise(pixels: Array, severity: int, generators: Generators) -> Array:
    """Add normal noise, as a sensor does in low light."""
    deviation = (0.04, 0.06, 0.08, 0.09, 0.10)[severity - 1]
    return pixels + np.float32(deviation) * _normal(generators, pixels.shape[1:])


def shot_noise(pixels: Array, severity: int, generators: Generators) -> Array:
    """Add Poisson noise, as from counting photons: the fewer photons for white, the stronger."""
    photons = (500, 250, 100, 75, 50)[severity - 1]
    counts = [g.poisson(x * photons) for x, g in zip(pixels, generators, strict=True)]
    return np.stack(counts).astype(np.float32) / np.float32(photons)


def impulse_noise(pixels: Array, severity: int, generators: Generators) -> Array:
    """Set a share of the values to 0 or 1, half of it each."""
    share = (0.01, 0.02, 0.03, 0.05, 0.07)[severity - 1]
    drawn = np.stack([g.random(pixels.shape[1:], np.float32) for g in generators])
    return np.where(drawn < share / 2, 0, np.where(drawn > 1 - share / 2, 1, pixels))


# --- blur


def gaussian_blur(pixels: Array, severity: int, _: Generators) -> Array:
    """Blur with a Gaussian kernel."""
    deviation = (0.4, 0.6, 0.7, 0.8, 1.0)[severity - 1]
    return _smooth(pixels, deviation * _scale(pixels))


def defocus_blur(pixels: Array, severity: int, _: Generators) -> Array:
    """Spread each point over a disc, as a lens out of focus does."""
    radius = (0.6, 0.85, 1.1, 1.35, 1.75)[severity - 1]
    return _spread(pixels, _disc(radius * _scale(pixels))[None])


def motion_blur(pixels: Array, severity: int, generators: Generators) -> Array:
    """Smear along a line within 45 degrees of the horizontal, as a moving camera does."""
    deviation = (1.0, 1.5, 2.0, 2.5, 3.0)[severity - 1]
    angles = np.array([g.uniform(-math.pi / 4, math.pi / 4) for g in generators])
    return _spread(pixels, _trails(deviation * _scale(pixels), angles))


# --- weather


def fog(pixels: Array, severity: int, generators: Generators) -> Array:
    """Blend with uneven white, which also lowers the contrast."""
    density = (0.2, 0.5, 0.75, 1.0, 1.5)[severity - 1]
    roughness = (2.6, 2.6, 2.3, 2.0, 1.8)[severity - 1]
    cloud = _cloud(_normal(generators, pixels.shape[1:3]), roughness)[..., None]
    peak = pixels.max(axis=(1, 2, 3), keepdims=True)
    # The brightest pixel keeps about its brightness.
    return np.asarray((pixels + density * cloud) * (peak / (peak + density)))


def snow(pixels: Array, severity: int, generators: Generators) -> Array:
    """Add streaks of snow, and make the image paler."""
    paleness = (0.05, 0.1, 0.12, 0.16, 0.2)[severity - 1]
    threshold = (2.3, 2.15, 2.0, 1.85, 1.7)[severity - 1]
    trail = (0.8, 1.0, 1.2, 1.4, 1.6)[severity - 1]
    scale = _scale(pixels)
    noise = _normal(generators, pixels.shape[1:3])[..., None]
    angles = np.array([g.uniform(-3, -1) * math.pi / 4 for g in generators])
    flakes = _smooth(noise, 0.6 * scale)
    flakes /= flakes.std(axis=(1, 2, 3), keepdims=True).clip(1e-6)
    flakes = _spread((1.4 * (flakes - threshold)).clip(0, 1), _trails(trail * scale, angles))
    grey = pixels.mean(axis=3, keepdims=True)
    pale = np.maximum(pixels, 0.5 + 1.5 * grey)
    return np.asarray((1 - paleness) * pixels + paleness * pale + 2.5 * flakes)


def brightness(pixels: Array, severity: int, _: Generators) -> Array:
    """Raise the value in the HSV colour model; hue and saturation stay the same."""
    more = (0.05, 0.1, 0.15, 0.2, 0.3)[severity - 1]
    value = pixels.max(axis=3, keepdims=True)
    brighter = np.minimum(value + np.float32(more), 1)
    scaled = pixels * (brighter / np.maximum(value, 1 / 255))
    # Black has no hue or saturation to keep: it becomes grey.
    return np.asarray(np.where(value > 0, scaled, brighter))


# --- digital


def contrast(pixels: Array, severity: int, _: Generators) -> Array:
    """Move all colours towards the image's mean colour."""
    kept = (0.75, 0.5, 0.4, 0.3, 0.15)[severity - 1]
    mean = pixels.mean(axis=(1, 2), keepdims=True)
    return np.asarray(mean + np.float32(kept) * (pixels - mean))


def pixelate(pixels: Array, severity: int, _: Generators) -> Array:
    """Reduce the image to fewer, larger pixels."""
    from PIL.Image import Resampling

    share = (0.95, 0.9, 0.85, 0.75, 0.65)[severity - 1]
    height, width = pixels.shape[1:3]
    few = max(1, round(width * share)), max(1, round(height * share))
    box = Resampling.BOX
    return _pillow(pixels, lambda image: image.resize(few, box).resize((width, height), box))


def jpeg(pixels: Array, severity: int, _: Generators) -> Array:
    """Encode and decode as JPEG of low quality."""
    from PIL import Image

    quality = (80, 65, 58, 50, 40)[severity - 1]

    def decoded(image: Any) -> Any:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality)
        return Image.open(file)

    return _pillow(pixels, decoded)


CORRUPTIONS: dict[str, Corruption] = {
    "gaussian_noise": gaussian_noise,
    "shot_noise": shot_noise,
    "impulse_noise": impulse_noise,
    "gaussian_blur": gaussian_blur,
    "defocus_blur": defocus_blur,
    "motion_blur": motion_blur,
    "fog": fog,
    "snow": snow,
    "brightness": brightness,
    "contrast": contrast,
    "pixelate": pixelate,
    "jpeg": jpeg,
}

FAMILIES: dict[str, tuple[str, ...]] = {
    "noise": ("gaussian_noise", "shot_noise", "impulse_noise"),
    "blur": ("gaussian_blur", "defocus_blur", "motion_blur"),
    "weather": ("fog", "snow", "brightness"),
    "digital": ("contrast", "pixelate", "jpeg"),
}


# --- common to several corruptions


def _as_bytes(pixels: Array) -> Array:
    return np.asarray((pixels * 255).clip(0, 255).round(), dtype=np.uint8)


def _pillow(pixels: Array, change: Callable[[Any], Any]) -> Array:
    """Change images as Pillow's; ``change`` keeps their size and mode."""
    from PIL import Image

    # Pillow has grey images without an axis for the channel.
    shape = pixels.shape[1:3] if pixels.shape[3] == 1 else pixels.shape[1:]
    changed = [np.asarray(change(Image.fromarray(p.reshape(shape)))) for p in _as_bytes(pixels)]
    return np.stack(changed).reshape(pixels.shape).astype(np.float32) / np.float32(255)


def _scale(pixels: Array) -> float:
    return float(min(pixels.shape[1:3])) / SIDE


def _normal(generators: Generators, shape: Sequence[int]) -> Array:
    return np.stack([g.standard_normal(tuple(shape), np.float32) for g in generators])


def _smooth(pixels: Array, deviation: float) -> Array:
    from scipy import ndimage

    deviations = (0, deviation, deviation, 0)
    return np.asarray(ndimage.gaussian_filter(pixels, deviations, mode="reflect"))


def _spread(pixels: Array, kernels: Array) -> Array:
    """Convolve each image with its kernel (``[n, k, k]``, or one for all of them), k odd."""
    from scipy import fft

    height, width = pixels.shape[1:3]
    reach = kernels.shape[1] // 2
    # Images smaller than the kernel are mirrored several times.
    edge = (reach, reach)
    padded = np.pad(pixels, ((0, 0), edge, edge, (0, 0)), mode="symmetric")
    size = [fft.next_fast_len(side, real=True) for side in padded.shape[1:3]]
    spectrum = fft.rfft2(padded, size, axes=(1, 2))
    spectrum *= fft.rfft2(kernels.astype(np.float32), size, axes=(1, 2))[..., None]
    full = fft.irfft2(spectrum, size, axes=(1, 2))
    return np.asarray(full[:, 2 * reach : 2 * reach + height, 2 * reach : 2 * reach + width])


def _disc(radius: float) -> Array:
    """Return a disc whose edge is smoothed over one pixel, summing to 1, ``[k, k]``."""
    reach = math.ceil(radius)
    down, across = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = (radius + 0.5 - np.hypot(down, across)).clip(0, 1)
    return np.asarray(disc / disc.sum())


def _trails(deviation: float, angles: Array) -> Array:
    """Return half a normal curve along a line at each angle, summing to 1, ``[n, k, k]``."""
    # One pixel more than the line, for the pixels around its ends.
    reach = math.ceil(3 * deviation) + 1
    along = np.linspace(0, 3 * deviation, 4 * reach)
    weight = np.exp(-0.5 * (along / deviation) ** 2)
    kernels = np.zeros((len(angles), 2 * reach + 1, 2 * reach + 1))
    # Centred, so that the image is not shifted.
    along = along - (along * weight).sum() / weight.sum()
    across, down = (reach + along * f(angles)[:, None] for f in (np.cos, np.sin))
    image = np.arange(len(angles))[:, None]
    # Each point is distributed to the four pixels around it.
    for row in (np.floor(down), np.floor(down) + 1):
        for column in (np.floor(across), np.floor(across) + 1):
            share = weight * (1 - abs(down - row)) * (1 - abs(across - column))
            np.add.at(kernels, (image, row.astype(int), column.astype(int)), share)
    return np.asarray(kernels / kernels.sum(axis=(1, 2), keepdims=True))


def _cloud(noise: Array, roughness: float) -> Array:
    """Return white noise ``[n, H, W]`` filtered to clouds, 0 to 1.

    Amplitudes fall with the frequency to the power of ``roughness``, as in the plasma that the
    paper's fog is made of.
    """
    from scipy import fft

    height, width = noise.shape[1:]
    down, across = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)
    # The frequency of the mean is 0; any other value works, as the range is scaled afterwards.
    frequency = np.hypot(down, across).clip(0.5 / max(height, width)).astype(np.float32)
    spectrum = fft.rfft2(noise, axes=(1, 2)) * frequency**-roughness
    cloud = fft.irfft2(spectrum, (height, width), axes=(1, 2))
    cloud -= cloud.min(axis=(1, 2), keepdims=True)
    return np.asarray(cloud / cloud.max(axis=(1, 2), keepdims=True).clip(1e-9))
