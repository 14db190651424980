"""Models that people start from: one of each family of ``keras.applications``, one of each layer.

``tools.model_table`` takes each through the whole program; tests take the small ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cifarlab.backend import keras

layers, ops = keras.layers, keras.ops

# The smallest variant of each family, and the smallest side of the images that it takes.
FAMILIES: Mapping[str, int] = {
    "ConvNeXtTiny": 32,
    "DenseNet121": 32,
    "EfficientNetB0": 32,
    "EfficientNetV2B0": 32,
    "InceptionResNetV2": 75,
    "InceptionV3": 75,
    "MobileNet": 32,
    "MobileNetV2": 32,
    "MobileNetV3Small": 32,
    "NASNetMobile": 32,
    "ResNet50": 32,
    "ResNet50V2": 32,
    "VGG16": 32,
    "Xception": 71,
}
CLASSES, SIDE = 10, 12

Layers = Mapping[str, Callable[[], Any]]

# On images [N, 12, 12, 4].
ON_IMAGES: Layers = {
    "Activation": lambda: layers.Activation("gelu"),
    "ActivityRegularization": lambda: layers.ActivityRegularization(l2=0.01),
    "AdaptiveAveragePooling2D": lambda: layers.AdaptiveAveragePooling2D(5),
    "AdaptiveMaxPooling2D": lambda: layers.AdaptiveMaxPooling2D(5),
    "AlphaDropout": lambda: layers.AlphaDropout(0.1, seed=0),
    "AveragePooling2D": lambda: layers.AveragePooling2D(3, 1, padding="same"),
    "BatchNormalization": lambda: layers.BatchNormalization(),
    "CenterCrop": lambda: layers.CenterCrop(8, 8),
    "Conv2D": lambda: layers.Conv2D(4, 3, padding="same", activity_regularizer="l2"),
    "Conv2DTranspose": lambda: layers.Conv2DTranspose(4, 3, strides=2, padding="same"),
    "ConvLSTM1D": lambda: layers.ConvLSTM1D(3, 3),
    "Cropping2D": lambda: layers.Cropping2D(((1, 2), (0, 3))),
    "DepthwiseConv2D": lambda: layers.DepthwiseConv2D(3),
    "Dropout": lambda: layers.Dropout(0.1, seed=0),
    "ELU": lambda: layers.ELU(),
    "EinsumDense": lambda: layers.EinsumDense("nhwc,cd->nhwd", (SIDE, SIDE, 5)),
    "GaussianDropout": lambda: layers.GaussianDropout(0.1, seed=0),
    "GaussianNoise": lambda: layers.GaussianNoise(0.1, seed=0),
    "GlobalAveragePooling2D": lambda: layers.GlobalAveragePooling2D(),
    "GlobalMaxPooling2D": lambda: layers.GlobalMaxPooling2D(),
    "GroupNormalization": lambda: layers.GroupNormalization(2),
    "Identity": lambda: layers.Identity(),
    "LayerNormalization": lambda: layers.LayerNormalization(axis=[1, 2, 3]),
    "LeakyReLU": lambda: layers.LeakyReLU(),
    "MaxPooling2D": lambda: layers.MaxPooling2D(3, 1, padding="same"),
    "PReLU": lambda: layers.PReLU(shared_axes=[1, 2]),
    "Permute": lambda: layers.Permute((3, 1, 2)),
    "RMSNormalization": lambda: layers.RMSNormalization(),
    "RandomContrast": lambda: layers.RandomContrast(0.1, seed=0),
    "RandomFlip": lambda: layers.RandomFlip(seed=0),
    "RandomRotation": lambda: layers.RandomRotation(0.1, seed=0),
    "RandomTranslation": lambda: layers.RandomTranslation(0.1, 0.1, seed=0),
    "RandomZoom": lambda: layers.RandomZoom(0.1, seed=0),
    "ReLU": lambda: layers.ReLU(6.0),
    "Resizing": lambda: layers.Resizing(7, 9, interpolation="nearest"),
    "SeparableConv2D": lambda: layers.SeparableConv2D(4, 3),
    "Softmax": lambda: layers.Softmax(axis=1),
    "SpatialDropout2D": lambda: layers.SpatialDropout2D(0.1, seed=0),
    "SpectralNormalization": lambda: layers.SpectralNormalization(layers.Conv2D(4, 3)),
    "TimeDistributed": lambda: layers.TimeDistributed(layers.Conv1D(4, 3)),
    "UnitNormalization": lambda: layers.UnitNormalization(),
    "UpSampling2D": lambda: layers.UpSampling2D(2, interpolation="bilinear"),
    "ZeroPadding2D": lambda: layers.ZeroPadding2D(1),
}
# On rows of an image, [N, 12, 48].
ON_ROWS: Layers = {
    "AdaptiveAveragePooling1D": lambda: layers.AdaptiveAveragePooling1D(5),
    "AdaptiveMaxPooling1D": lambda: layers.AdaptiveMaxPooling1D(5),
    "AveragePooling1D": lambda: layers.AveragePooling1D(3, 1, padding="same"),
    "Bidirectional": lambda: layers.Bidirectional(layers.LSTM(4)),
    "Conv1D": lambda: layers.Conv1D(8, 3, padding="causal"),
    "Conv1DTranspose": lambda: layers.Conv1DTranspose(5, 3, strides=2),
    "Cropping1D": lambda: layers.Cropping1D(1),
    "DepthwiseConv1D": lambda: layers.DepthwiseConv1D(3),
    "GRU": lambda: layers.GRU(8),
    "GlobalAveragePooling1D": lambda: layers.GlobalAveragePooling1D(),
    "GlobalMaxPooling1D": lambda: layers.GlobalMaxPooling1D(),
    "LSTM": lambda: layers.LSTM(8),
    "MaxPooling1D": lambda: layers.MaxPooling1D(2),
    "RNN": lambda: layers.RNN(layers.GRUCell(4)),
    "SeparableConv1D": lambda: layers.SeparableConv1D(8, 3),
    "SimpleRNN": lambda: layers.SimpleRNN(8),
    "SpatialDropout1D": lambda: layers.SpatialDropout1D(0.1, seed=0),
    "UpSampling1D": lambda: layers.UpSampling1D(2),
    "ZeroPadding1D": lambda: layers.ZeroPadding1D(1),
}
# On an image as a volume, [N, 12, 6, 2, 4].
ON_VOLUMES: Layers = {
    "AveragePooling3D": lambda: layers.AveragePooling3D(2),
    "Conv3D": lambda: layers.Conv3D(4, 2),
    "Conv3DTranspose": lambda: layers.Conv3DTranspose(3, 2),
    "Cropping3D": lambda: layers.Cropping3D(((1, 1), (0, 0), (0, 0))),
    "GlobalAveragePooling3D": lambda: layers.GlobalAveragePooling3D(),
    "GlobalMaxPooling3D": lambda: layers.GlobalMaxPooling3D(),
    "MaxPooling3D": lambda: layers.MaxPooling3D(2),
    "UpSampling3D": lambda: layers.UpSampling3D(2),
    "ZeroPadding3D": lambda: layers.ZeroPadding3D(1),
}

# Layers and operations that are called otherwise than on one tensor: the shape of their input,
# and the call.
ROWS, IMAGE = (SIDE, 4 * SIDE), (SIDE, SIDE, 4)
CALLS: Mapping[str, tuple[tuple[int, ...], Callable[[Any], Any]]] = {
    "AdditiveAttention": (ROWS, lambda x: layers.AdditiveAttention()([x, x])),
    "Attention": (ROWS, lambda x: layers.Attention()([x, x])),
    "Average": (IMAGE, lambda x: layers.Average()([x, layers.Conv2D(4, 1)(x)])),
    "Concatenate": (IMAGE, lambda x: layers.Concatenate(axis=1)([x, x])),
    "Dot": (ROWS, lambda x: layers.Dot(axes=2)([x, x])),
    "GroupQueryAttention": (ROWS, lambda x: layers.GroupQueryAttention(8, 4, 2)(x, x)),
    "MultiHeadAttention": (ROWS, lambda x: layers.MultiHeadAttention(2, 8)(x, x)),
    "Multiply": (IMAGE, lambda x: layers.Multiply()([x, layers.Conv2D(4, 1)(x)])),
    "x * 0.5 + 3": (IMAGE, lambda x: x * 0.5 + 3),
    "x[:, 2:8]": (IMAGE, lambda x: x[:, 2:8]),
    "ops.einsum": (IMAGE, lambda x: ops.einsum("nhwc,nhwd->ncd", x, x)),
    "ops.image.extract_patches": (IMAGE, lambda x: ops.image.extract_patches(x, 4)),
    "ops.mean": (IMAGE, lambda x: ops.mean(x, axis=(1, 2))),
    "ops.pad": (IMAGE, lambda x: ops.pad(x, [[0, 0], [1, 2], [1, 1], [0, 0]], mode="reflect")),
    "ops.roll": (IMAGE, lambda x: ops.roll(x, 2, axis=1)),
    "ops.take": (IMAGE, lambda x: ops.take(x, [2, 0, 1], axis=-1)),
    "ops.transpose": (IMAGE, lambda x: ops.transpose(x, (0, 3, 1, 2))),
}

LAYERS = (*ON_IMAGES, *ON_ROWS, *ON_VOLUMES, *CALLS)


def family(name: str) -> Any:
    """Return an untrained model of ``FAMILIES`` for ``CLASSES`` classes."""
    shape = (FAMILIES[name], FAMILIES[name], 3)
    return getattr(keras.applications, name)(weights=None, input_shape=shape, classes=CLASSES)


def network_with(name: str) -> Any:
    """Return a small classifier that has one of ``LAYERS`` in its middle.

    Example:
        >>> network_with("Conv2D").output_shape
        (None, 10)
    """
    images = keras.Input((SIDE, SIDE, 3))
    x = layers.Rescaling(1 / 255)(images)
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    shape, call = _call(name)
    x = call(x if shape == IMAGE else layers.Reshape(shape)(x))
    x = layers.Flatten()(x) if len(x.shape) > 2 else x
    return keras.Model(images, layers.Dense(CLASSES, activation="softmax")(x))


def _call(name: str) -> tuple[tuple[int, ...], Callable[[Any], Any]]:
    volume = (SIDE, SIDE // 2, 2, 4)
    for shape, examples in ((IMAGE, ON_IMAGES), (ROWS, ON_ROWS), (volume, ON_VOLUMES)):
        if name in examples:
            return shape, examples[name]()
    return CALLS[name]
