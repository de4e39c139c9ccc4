"""What the options of `dualad` may be: argparse types, each of which says in words what it takes."""

import argparse
import math
import os
import re
import warnings

LARGEST = 2**31 - 1  # of a count that nothing else bounds


class Parser(argparse.ArgumentParser):
    """Wrong use is one line and exit status 2; the usage is what --help is for."""

    def error(self, message):
        self.exit(2, f"{self.prog}: error: {' '.join(message.split())} (see {self.prog} --help)\n")


def whole(low, high=LARGEST):
    """The type of a whole number from `low` to `high`, both included."""

    def number(text):
        try:
            value = int(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            raise argparse.ArgumentTypeError(f"must be a whole number from {low} to {high}, not {text!r}")
        return value

    return number


def real(low, high, unit=""):
    """The type of a number between `low` and `high`, both excluded."""

    def number(text):
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low < value < high:
            raise argparse.ArgumentTypeError(f"must be a number{unit} between {low} and {high}, not {text!r}")
        return value

    return number


def views(text):
    """A choice of views; for one release also by the name that "weak" had."""
    if text == "gentle":
        warnings.warn("--views gentle is now called --views weak.", FutureWarning, stacklevel=2)
        return "weak"
    return text


positive_int = whole(1)
non_negative_int = whole(0)
seed = whole(0, 2**32 - 1)  # what NumPy and scikit-learn take
seed_count = whole(1, 10_000)
worker_count = whole(1, 1024)
image_side = whole(1, 8192)  # pixels
megabytes = whole(1, 2**20)
rate = real(0, 1)
seconds = real(0, 10**6, " of seconds")


def place(text):
    """The path of a file or folder, a leading ~ expanded. An empty one, as an unset variable gives, would be the
    current folder."""
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError(f"must be a path, not {text!r}")
    return os.path.expanduser(text)


def parameter(text):
    """NAME=VALUE as a pair."""
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"must be NAME=VALUE or NAME VALUE, not {text!r}")
    return name, value


def join_parameters(argv):
    """`-p NAME VALUE` as `-p NAME=VALUE`: argparse would take a value such as -1e-3 for an option."""
    joined, rest = [], list(argv)
    while rest:
        word = rest.pop(0)
        joined.append(word)
        if word == "--":
            break
        if word == "-p" and len(rest) > 1 and rest[0].isidentifier() and not _is_option(rest[1]):
            joined.append(f"{rest.pop(0)}={rest.pop(0)}")
    return joined + rest


def _is_option(word):
    return re.match(r"--\w|-[a-zA-Z]$", word) is not None
