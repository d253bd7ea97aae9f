"""A callback for Keras 2 and 3: `model.fit(…, callbacks=[EnergyCallback(tracker)])`."""

from keras.callbacks import Callback


class EnergyCallback(Callback):
    """Each epoch of the training, with its validation, is an epoch of the tracker.

    With `stop=True` the training stops after the epoch in which the run passes a budget.
    """

    def __init__(self, tracker, stop=False):
        super().__init__()
        self.tracker, self.stops = tracker, stop

    def on_epoch_begin(self, epoch, logs=None):
        self.tracker.epoch_begin()

    def on_train_batch_end(self, batch, logs=None):
        steps = (self.params or {}).get("steps")
        if steps and batch + 1 <= steps:
            self.tracker.progress(batch + 1, steps)

    def on_epoch_end(self, epoch, logs=None):
        if self.tracker.epoch_end() and self.stops:
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        self.tracker._cancel_if_open()
