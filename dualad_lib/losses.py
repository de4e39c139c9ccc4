"""Losses: one pure function an equation, tensors in, one scalar tensor out.

Every mean is taken over all elements of the batch, not over images alone, so that a weight means the same
at every image size. Papers that sum over pixels and average over images differ from this by a factor C * H * W.
"""


def squared_error(x_hat, x):
    """Mean squared error of a reconstruction, L_rec = mean (x_hat - x)^2.

    x_hat, x: tensors of one shape, images in [0, 1]. Returns a scalar in [0, 1].
    Source: the reconstruction term of DualAD (Wan & Feng, 2024) and of every autoencoder before it.
    """
    return (x_hat - x).square().mean()


def absolute_error(x_hat, x):
    """Mean absolute error of a reconstruction, L_irec = mean |x_hat - x|.

    x_hat, x: tensors of one shape, images in [0, 1]. Returns a scalar in [0, 1].
    Source: LR-GDAN (Chen et al., IJCAI 2020), eq. 3, as a mean over elements.
    """
    return (x_hat - x).abs().mean()
