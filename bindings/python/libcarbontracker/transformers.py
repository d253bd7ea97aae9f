"""A callback for Hugging Face Transformers: `Trainer(…, callbacks=[EnergyCallback(tracker)])`."""

from transformers import TrainerCallback


class EnergyCallback(TrainerCallback):
    """Each training epoch is an epoch of the tracker, and each step sets the progress of the run.

    With `stop=True` the training stops after the epoch in which the run passes a budget.
    """

    def __init__(self, tracker, stop=False):
        self.tracker, self.stops = tracker, stop

    def on_epoch_begin(self, args, state, control, **kwargs):
        self.tracker.epoch_begin()

    def on_step_end(self, args, state, control, **kwargs):
        if state.max_steps > 0:
            self.tracker.run_progress(state.global_step, state.max_steps)

    def on_epoch_end(self, args, state, control, **kwargs):
        if self.tracker.epoch_end() and self.stops:
            control.should_training_stop = True

    def on_train_end(self, args, state, control, **kwargs):
        self.tracker._cancel_if_open()
