"""A network whose first layers mirror, turn and shift the images while it trains."""

import keras
from keras import layers
from setting import CLASSES, SEED, images, train

keras.utils.set_random_seed(SEED)
x, y = images()

augmentation = keras.Sequential(
    [
        layers.RandomFlip("horizontal"),
        layers.RandomTranslation(0.1, 0.1),
        layers.RandomContrast(0.1),
    ],
    name="augmentation",
)

inputs = keras.Input((32, 32, 3))
z = layers.Rescaling(1 / 255)(augmentation(inputs))
for filters in (32, 64, 128):
    for _ in range(2):
        z = layers.Conv2D(filters, 3, padding="same", use_bias=False)(z)
        z = layers.Activation("relu")(layers.BatchNormalization()(z))
    z = layers.MaxPooling2D()(z)
z = layers.Dropout(0.3)(layers.Flatten()(z))
model = keras.Model(inputs, layers.Dense(CLASSES, activation="softmax")(z))

model.compile(optimizer="rmsprop", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
train(model, x, y)
