"""A ConvMixer: patches, then depthwise and pointwise convolutions with GELU."""

import keras
from keras import layers
from setting import CLASSES, SEED, images, train

FILTERS = 96
BLOCKS = 4

keras.utils.set_random_seed(SEED)
x, y = images()


def activate(x):
    return layers.BatchNormalization()(layers.Activation("gelu")(x))


inputs = keras.Input((32, 32, 3))
z = layers.Rescaling(1 / 255)(inputs)
z = activate(layers.Conv2D(FILTERS, 2, strides=2)(z))
for _ in range(BLOCKS):
    z = layers.Add()([activate(layers.DepthwiseConv2D(5, padding="same")(z)), z])
    z = activate(layers.Conv2D(FILTERS, 1)(z))
z = layers.GlobalAveragePooling2D()(z)
model = keras.Model(inputs, layers.Dense(CLASSES, activation="softmax")(z))

model.compile(
    optimizer=keras.optimizers.AdamW(1e-3, weight_decay=1e-4),
    loss="sparse_categorical_crossentropy",
    metrics=["accuracy"],
)
train(model, x, y)
