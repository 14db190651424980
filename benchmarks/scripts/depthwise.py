"""Inverted bottlenecks of depthwise convolutions, with squeeze and excitation and swish."""

import keras
from keras import layers
from setting import CLASSES, SEED, images, train

keras.utils.set_random_seed(SEED)
x, y = images()


def weigh_channels(x, share=4):
    channels = x.shape[-1]
    weights = layers.GlobalAveragePooling2D(keepdims=True)(x)
    weights = layers.Conv2D(channels // share, 1, activation="swish")(weights)
    weights = layers.Conv2D(channels, 1, activation="sigmoid")(weights)
    return layers.Multiply()([x, weights])


def bottleneck(x, filters, strides, expansion=4):
    channels = x.shape[-1]
    z = layers.Conv2D(channels * expansion, 1, use_bias=False)(x)
    z = layers.Activation("swish")(layers.BatchNormalization()(z))
    z = layers.DepthwiseConv2D(3, strides, padding="same", use_bias=False)(z)
    z = layers.Activation("swish")(layers.BatchNormalization()(z))
    z = layers.Conv2D(filters, 1, use_bias=False)(weigh_channels(z))
    z = layers.BatchNormalization()(z)
    return layers.Add()([x, z]) if strides == 1 and channels == filters else z


inputs = keras.Input((32, 32, 3))
z = layers.Rescaling(1 / 127.5, offset=-1)(inputs)
z = layers.Conv2D(32, 3, strides=2, padding="same", activation="swish")(z)
for filters, strides in [(32, 1), (32, 1), (64, 2), (64, 1), (128, 2), (128, 1)]:
    z = bottleneck(z, filters, strides)
z = layers.GlobalAveragePooling2D()(z)
z = layers.Dropout(0.2)(z)
model = keras.Model(inputs, layers.Dense(CLASSES, activation="softmax")(z))

model.compile(
    optimizer=keras.optimizers.Adam(1e-3),
    loss="sparse_categorical_crossentropy",
    metrics=["accuracy"],
)
train(model, x, y)
