"""A classifier to be attacked: small, ordinary, and good at its task."""

from torch import nn

from .autoencoder import conv_block


class ConvClassifier(nn.Module):
    """Four convolution blocks (w, 2w, 4w, 4w), each but the first halving the side, and one linear layer.

    image_shape: (C, H, W). forward: images (N, C, H, W) in [0, 1] -> logits (N, classes).
    """

    def __init__(self, image_shape, classes, width=24):
        super().__init__()
        channels, height, wide = image_shape
        blocks = [conv_block(channels, width)]
        for before, after in ((1, 2), (2, 4), (4, 4)):
            blocks.append(conv_block(before * width, after * width, stride=2))
            height, wide = (height + 1) // 2, (wide + 1) // 2
        self.features = nn.Sequential(*blocks, nn.Flatten(), nn.Dropout(0.3))
        self.logits = nn.Linear(4 * width * height * wide, classes)

    def forward(self, x):
        return self.logits(self.features(x))
