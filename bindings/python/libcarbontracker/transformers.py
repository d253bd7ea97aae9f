"""A callback for Hugging Face Transformers: `Trainer(…, callbacks=[EnergyCallback(tracker)])`."""

from transformers import TrainerCallback

from . import _Epoch


class EnergyCallback(TrainerCallback):
    """Each training epoch is an epoch of the tracker, and each step sets the progress of the run.

    With `stop=True` the training stops after the epoch in which the run passes a budget.
    """

    def __init__(self, tracker, stop=False):
        self.tracker, self.stops, self._mine = tracker, stop, None

    def on_epoch_begin(self, args, state, control, **kwargs):
        # A training that was interrupted left its epoch open; this begin cancels that one.
        self._mine = self.tracker._begin(_Epoch(of_loop=True))

    def on_step_end(self, args, state, control, **kwargs):
        if state.max_steps > 0:
            self.tracker.run_progress(state.global_step, state.max_steps)

    def on_epoch_end(self, args, state, control, **kwargs):
        if self.tracker.epoch_end() and self.stops:
            control.should_training_stop = True

    def on_train_end(self, args, state, control, **kwargs):
        self.tracker._cancel(self._mine)
