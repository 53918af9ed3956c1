"""A convolutional network in NumPy alone, forward and backward: one file a layer."""
