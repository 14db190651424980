"""A residual network of 20 layers; SGD with momentum, whose rate falls along a cosine."""

import math

import keras
from keras import layers, regularizers
from setting import CLASSES, EPOCHS, SEED, images, train

BATCH_SIZE = 128
WEIGHT_PENALTY = 1e-4

keras.utils.set_random_seed(SEED)
x, y = images()
x = x.astype("float32") / 255


def convolve(x, filters, strides=1, size=3):
    x = layers.Conv2D(
        filters,
        size,
        strides,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        kernel_regularizer=regularizers.L2(WEIGHT_PENALTY),
    )(x)
    return layers.BatchNormalization()(x)


inputs = keras.Input((32, 32, 3))
z = layers.ReLU()(convolve(inputs, 16))
for stage in range(3):
    for block in range(3):
        strides = 2 if stage and not block else 1
        shortcut = convolve(z, 16 * 2**stage, strides, size=1) if strides > 1 else z
        z = layers.ReLU()(convolve(z, 16 * 2**stage, strides))
        z = convolve(z, 16 * 2**stage)
        z = layers.ReLU()(layers.Add()([z, shortcut]))
z = layers.GlobalAveragePooling2D()(z)
model = keras.Model(inputs, layers.Dense(CLASSES, activation="softmax")(z))

steps = EPOCHS * math.ceil(len(x) / BATCH_SIZE)
model.compile(
    optimizer=keras.optimizers.SGD(
        keras.optimizers.schedules.CosineDecay(0.1, steps), momentum=0.9, nesterov=True
    ),
    loss="sparse_categorical_crossentropy",
    metrics=["accuracy"],
)
train(model, x, y, BATCH_SIZE)
