"""A model with a training step of its own, for either backend."""

import keras
from keras import layers
from setting import CLASSES, SEED, images, train

keras.utils.set_random_seed(SEED)
x, y = images()
y = keras.utils.to_categorical(y, CLASSES)


class Smoothed(keras.Model):
    """Train with the labels smoothed in its own step, and measured without."""

    def compute_gradients(self, x, targets):
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            with tf.GradientTape() as tape:
                outputs = self(x, training=True)
                loss = self.compute_loss(y=targets, y_pred=outputs)
            return loss, outputs, tape.gradient(loss, self.trainable_weights)
        self.zero_grad()
        outputs = self(x, training=True)
        loss = self.compute_loss(y=targets, y_pred=outputs)
        loss.backward()
        return loss, outputs, [weight.value.grad for weight in self.trainable_weights]

    def update(self, gradients):
        if keras.backend.backend() == "tensorflow":
            self.optimizer.apply(gradients, self.trainable_weights)
            return
        import torch

        with torch.no_grad():
            self.optimizer.apply(gradients, self.trainable_weights)

    def train_step(self, data):
        x, y = data
        smooth = 0.9 * y + 0.1 / CLASSES
        loss, outputs, gradients = self.compute_gradients(x, smooth)
        self.update(gradients)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(y, outputs)
        return {metric.name: metric.result() for metric in self.metrics}


inputs = keras.Input((32, 32, 3))
z = layers.Rescaling(1 / 255)(inputs)
for filters in (32, 64, 128):
    z = layers.Conv2D(filters, 3, padding="same", activation="relu")(z)
    z = layers.Conv2D(filters, 3, padding="same", activation="relu")(z)
    z = layers.MaxPooling2D()(layers.BatchNormalization()(z))
z = layers.Dropout(0.3)(layers.Flatten()(z))
model = Smoothed(inputs, layers.Dense(CLASSES, activation="softmax")(z))

model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
train(model, x, y)
