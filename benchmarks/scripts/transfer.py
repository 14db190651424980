"""A new head on a frozen network. (Its weights are random here, so that nothing is downloaded.)"""

import keras
from keras import layers
from setting import CLASSES, SEED, images, train

keras.utils.set_random_seed(SEED)
x, y = images()

base = keras.applications.MobileNetV2(
    input_shape=(32, 32, 3), include_top=False, weights=None, alpha=0.5
)
base.trainable = False

inputs = keras.Input((32, 32, 3))
z = keras.applications.mobilenet_v2.preprocess_input(inputs)
z = base(z, training=False)
z = layers.GlobalAveragePooling2D()(z)
z = layers.Dropout(0.2)(z)
model = keras.Model(inputs, layers.Dense(CLASSES)(z))

model.compile(
    optimizer=keras.optimizers.Adam(1e-3),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
train(model, x, y)
