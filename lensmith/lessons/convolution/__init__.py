"""The lesson `convolution`: a picture as numbers, a kernel at work on it, and what a layer of kernels is."""
