"""Several labels an image: sigmoids and binary cross-entropy."""

import keras
import numpy as np
from keras import layers
from setting import CLASSES, SEED, images, train

keras.utils.set_random_seed(SEED)
x, y = images()
# The class, and whether the image is bright.
bright = x.mean((1, 2, 3)) > x.mean()
labels = np.concatenate([np.eye(CLASSES)[y], bright[:, None]], axis=1).astype("float32")

model = keras.Sequential(
    [
        keras.Input((32, 32, 3)),
        layers.Rescaling(1 / 255),
        layers.Conv2D(32, 3, padding="same", activation="relu"),
        layers.BatchNormalization(),
        layers.Conv2D(32, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(64, 3, padding="same", activation="relu"),
        layers.BatchNormalization(),
        layers.Conv2D(64, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(256, activation="relu"),
        layers.Dropout(0.5),
        layers.Dense(labels.shape[1], activation="sigmoid"),
    ]
)
model.compile(
    optimizer="adam",
    loss="binary_crossentropy",
    metrics=["binary_accuracy", keras.metrics.AUC(multi_label=True, name="auc")],
)
train(model, x, labels)
