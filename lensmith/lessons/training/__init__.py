"""The lesson `training`: the steps of a real learner looked into, activations and losses beside each other."""
