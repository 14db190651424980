"""A small convolutional network for grey images of 28 by 28, which ends in logits."""

import keras
from keras import layers
from setting import CLASSES, SEED, images, train

keras.utils.set_random_seed(SEED)
x, y = images(side=28, channels=1)

model = keras.Sequential(
    [
        keras.Input((28, 28, 1)),
        layers.Rescaling(1 / 255),
        layers.Conv2D(32, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(64, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dropout(0.5),
        layers.Dense(CLASSES),
    ]
)
model.compile(
    optimizer="adam",
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
train(model, x, y)
