"""An MLP-Mixer; a block is one layer written here, made of stock layers."""

import keras
from keras import layers, ops
from setting import CLASSES, SEED, images, train

PATCH = 4
PATCHES = (32 // PATCH) ** 2
WIDTH = 128
BLOCKS = 4

keras.utils.set_random_seed(SEED)
x, y = images()


class MixerBlock(layers.Layer):
    """Mix the patches of each channel, then the channels of each patch."""

    def __init__(self, patches, width, dropout):
        super().__init__()
        self.between_patches = self.mlp(patches, patches, dropout)
        self.between_channels = self.mlp(2 * width, width, dropout)
        self.first = layers.LayerNormalization(epsilon=1e-6)
        self.second = layers.LayerNormalization(epsilon=1e-6)

    def mlp(self, hidden, units, dropout):
        return keras.Sequential(
            [layers.Dense(hidden, activation="gelu"), layers.Dropout(dropout), layers.Dense(units)]
        )

    def build(self, shape):
        count, patches, width = shape
        self.first.build(shape)
        self.second.build(shape)
        self.between_patches.build((count, width, patches))
        self.between_channels.build(shape)

    def call(self, x):
        turned = ops.transpose(self.first(x), (0, 2, 1))
        x = x + ops.transpose(self.between_patches(turned), (0, 2, 1))
        return x + self.between_channels(self.second(x))


model = keras.Sequential(
    [
        keras.Input((32, 32, 3)),
        layers.Rescaling(1 / 255),
        layers.Conv2D(WIDTH, PATCH, PATCH),
        layers.Reshape((PATCHES, WIDTH)),
        *(MixerBlock(PATCHES, WIDTH, 0.1) for _ in range(BLOCKS)),
        layers.LayerNormalization(epsilon=1e-6),
        layers.GlobalAveragePooling1D(),
        layers.Dense(CLASSES),
    ]
)
model.compile(
    optimizer=keras.optimizers.AdamW(1e-3),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
train(model, x, y)
