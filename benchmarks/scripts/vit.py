"""A vision transformer whose patches and positions are layers written here."""

import keras
from keras import layers, ops
from setting import CLASSES, SEED, images, train

PATCH = 4
PATCHES = (32 // PATCH) ** 2
WIDTH = 64
HEADS = 4
BLOCKS = 4

keras.utils.set_random_seed(SEED)
x, y = images()
x = x.astype("float32") / 127.5 - 1


class Patches(layers.Layer):
    """Cut images into patches, each a vector."""

    def __init__(self, side):
        super().__init__()
        self.side = side

    def call(self, images):
        count, height, width, channels = ops.shape(images)
        rows, columns = height // self.side, width // self.side
        patches = ops.image.extract_patches(images, self.side)
        return ops.reshape(patches, (count, rows * columns, self.side * self.side * channels))


class PatchEncoder(layers.Layer):
    """Project patches, and add a learnt vector for each position."""

    def __init__(self, patches, width):
        super().__init__()
        self.patches = patches
        self.projection = layers.Dense(width)
        self.positions = layers.Embedding(patches, width)

    def build(self, shape):
        self.projection.build(shape)
        self.positions.build((self.patches,))

    def call(self, patches):
        positions = ops.expand_dims(ops.arange(self.patches), 0)
        return self.projection(patches) + self.positions(positions)


def mlp(x, units, dropout):
    for count in units:
        x = layers.Dense(count, activation=keras.activations.gelu)(x)
        x = layers.Dropout(dropout)(x)
    return x


inputs = keras.Input((32, 32, 3))
z = PatchEncoder(PATCHES, WIDTH)(Patches(PATCH)(inputs))
for _ in range(BLOCKS):
    normalised = layers.LayerNormalization(epsilon=1e-6)(z)
    attention = layers.MultiHeadAttention(HEADS, WIDTH, dropout=0.1)(normalised, normalised)
    z = layers.Add()([attention, z])
    normalised = layers.LayerNormalization(epsilon=1e-6)(z)
    z = layers.Add()([mlp(normalised, (WIDTH * 2, WIDTH), 0.1), z])
z = layers.LayerNormalization(epsilon=1e-6)(z)
z = layers.Dropout(0.5)(layers.Flatten()(z))
z = mlp(z, (256, 128), 0.5)
model = keras.Model(inputs, layers.Dense(CLASSES)(z))

model.compile(
    optimizer=keras.optimizers.AdamW(1e-3, weight_decay=1e-4),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
)
train(model, x, y)
