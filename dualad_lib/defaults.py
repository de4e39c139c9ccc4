"""What the command line says and the code behind it does where nothing else is asked for; imports nothing heavy."""

#: The detector of `dualad fit`.
DEFAULT_DETECTOR = "dualad"
#: The frozen backbone that its `dualad` sees images through; "none": from scratch, on pixels.
DEFAULT_FEATURES = "efficientnet_lite0"
