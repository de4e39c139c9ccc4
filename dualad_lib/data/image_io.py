"""Reading photographs: one image file of any kind as upright pixels of 8 bits, or the reason why not."""

import os
import re
import stat
import struct
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

GREY_MODES = ("1", "L", "LA", "La", "I", "F")  # and every mode that starts with "I;16"
DEPTHS = (8, 10, 12, 14, 16)  # bits that cameras give

#: Endings of raw photographs: Pillow would read the preview in some of them as if it were the picture.
RAW = re.compile(
    r"\.(3fr|arw|cr2|cr3|crw|dcr|dng|erf|iiq|kdc|mef|mos|mrw|nef|nrw|orf|pef|raf|raw|rw2|rwl|sr2|srf|srw|x3f)$",
    re.IGNORECASE,
)
#: Endings of pictures that Pillow may lack a reader for.
OTHER = re.compile(
    r"\.(avifs?|bpg|czi|dcm|dicom|djvu|exr|flif|hdp|hdr|heic|heics|heifs?|hif|jxl|jxr|kra|lsm|ndpi|svg|svs|wdp|xcf)$",
    re.IGNORECASE,
)

#: How pictures begin, whatever their file is called.
BEGINNING = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|II\*\0|MM\0\*|II\+\0|MM\0\+|RIFF....WEBP|8BPS\0\x01|\x76\x2f\x31\x01|\xff\x0a"
    rb"|\0\0\0\x0c(jP  |JXL )\r\n\x87\n|\xff\x4f\xff\x51|BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0|qoif|FUJIFILM"
    rb"|....ftyp(hei[cxms]|hev[cx]|mif1|msf1|avi[fs]|crx )|P[2356]\s+(#[^\n]*\s+)*\d+\s+\d+\s+\d+\s|.{128}DICM",
    re.DOTALL,
)

#: What this library writes into the pictures that it draws, so that it never judges them as images of a folder.
MARK = {"Software": "dualad_lib drawing"}
MARKED = b"tEXtSoftware\0dualad_lib drawing"

TURNS = {  # what brings an image with this orientation tag upright
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
LARGE = 2**20  # pixels of a photograph from which on decoding all of them takes its time
ORIENTATION, BITS, PHOTOMETRIC, SAMPLES, DNG_VERSION = 0x0112, 258, 262, 339, 50706  # tags


@dataclass(frozen=True)
class Header:
    """What stands at the head of an image file: (height, width) when upright; is it in colour; has it over 8 bits."""

    shape: tuple
    colour: bool
    deep: bool


@dataclass(frozen=True)
class Picture:
    """uint8 pixels (C, H, W); the (height, width) that the file has when upright; was a value above white in it; the
    kinds of file it is: "colour" or "grey", and "deep" where it has more than 8 bits."""

    pixels: np.ndarray
    shape: tuple
    cut: bool
    kinds: tuple


def beginning(path):
    """The first bytes of a regular file that can be opened, else none."""
    try:
        if stat.S_ISREG(os.stat(path).st_mode):
            with open(path, "rb") as file:
                return file.read(256)
    except OSError:
        pass
    return b""


def is_picture(start):
    """Do these first bytes of a file begin a picture?"""
    return BEGINNING.match(start) is not None


def is_own_drawing(start):
    """Are these the first bytes of a picture that this library drew, such as a heat map?"""
    return MARKED in start


def save_drawing(pixels, path):
    """Write uint8 pixels (H, W, 3) as PNG, marked as drawn by this library."""
    from PIL import Image, PngImagePlugin

    info = PngImagePlugin.PngInfo()
    for key, text in MARK.items():
        info.add_text(key, text)
    Image.fromarray(pixels).save(path, format="PNG", pnginfo=info)


def read_header(path):
    """The Header of a file, or None where it can't be read (the reason comes when the pixels are read)."""
    try:
        with _opened(path) as image:
            return Header(_upright_shape(image), _is_colour(image), _is_deep(image))
    except Exception:
        return None


def white_of(path):
    """The value that must count as white where this deep file was all there is: 255, 1023, 4095, 16383 or 65535.

    The fewest bits of a camera that hold all its values, or more where the file says so. 0 where it can't be read.
    """
    try:
        with _opened(path) as image:
            bits = _tag(image, BITS)
            values = _deep_values(image, path)
        top = max(int(values.max()), 2**bits - 1 if 8 < bits < 16 else 0)
    except Exception:
        return 0
    return 2 ** next((bits for bits in DEPTHS if top < 2**bits), DEPTHS[-1]) - 1


def read_picture(path, size, channels, white=65535):
    """Read one file as a Picture of (height, width) = size and 1 or 3 channels.

    Resized bilinearly with antialiasing, upright, transparency on white, deep values brought from 0..white to 0..255
    and cut above. Raises whatever Pillow raises for damaged files.
    """
    from PIL import Image

    with _opened(path) as image:
        stored = image.size
        kinds = ("colour" if _is_colour(image) else "grey", *(("deep",) if _is_deep(image) else ()))
        if (
            image.format == "JPEG"
        ):  # the decoder can halve: a loss that twice the size asked for does not show
            wanted = size if _orientation(image) > 4 else size[::-1]
            image.draft(None, (2 * wanted[0], 2 * wanted[1]))
        shrunk = image.size != stored
        picture, cut = _eight_bit(image, path, white)
        image.load()
        orientation = _orientation(image)  # none is left of a TIFF's: loading has turned it
        if orientation in TURNS:
            picture = picture.transpose(Image.Transpose[TURNS[orientation]])
        shape = picture.size[::-1] if not shrunk else stored if orientation > 4 else stored[::-1]
        picture = picture.convert("L" if channels == 1 else "RGB")
        picture = picture.resize(size[::-1], Image.Resampling.BILINEAR)  # antialiases when it shrinks
    pixels = np.asarray(picture)
    return Picture(pixels[None] if channels == 1 else pixels.transpose(2, 0, 1), shape, cut, kinds)


def _is_colour(image):
    return image.mode not in GREY_MODES and not image.mode.startswith("I;16")


@contextmanager
def _opened(path):
    """Pillow's image of a file, not decoded yet. Raises ValueError for what must not be opened."""
    from PIL import Image, UnidentifiedImageError

    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError("it is no regular file")
    ending = Path(path).suffix
    if RAW.search(ending):
        raise ValueError(f"{ending} is the raw format of a camera: develop it to JPEG, PNG or TIFF first")
    # Opened here and not by its path: Pillow would map an uncompressed file into memory, and get a turned TIFF wrong.
    with open(path, "rb") as file:
        try:
            image = Image.open(file)
        except UnidentifiedImageError:
            lacking = (
                f", and {ending} is none that Pillow reads: convert it to PNG" if OTHER.search(ending) else ""
            )
            raise ValueError(f"no known picture format{lacking}") from None
        with image:
            if _tag(image, DNG_VERSION):
                raise ValueError(
                    "it is the raw photograph of a camera (DNG): develop it to JPEG or PNG first"
                )
            yield image


def _tag(image, number, default=0):
    """The (first) value of a TIFF's tag, the default where there is none."""
    value = getattr(image, "tag_v2", {}).get(number, default)
    return value[0] if isinstance(value, (tuple, bytes)) and value else value


def _orientation(image):
    """The orientation tag, 1 to 8; 1 where there is none or it is damaged: the pixels may be sound all the same."""
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except Exception:
        return 1
    return value if value in TURNS else 1


def _upright_shape(image):
    """(height, width) of an image, from its head alone."""
    width, height = image.size
    orientation = 1
    if image.format == "TIFF":  # versions of Pillow differ in what `size` is before the pixels are read
        width, height, orientation = (_tag(image, number) for number in (256, 257, ORIENTATION))
    elif image.format != "PNG" or _tagged(image):
        orientation = _orientation(image)
    return (width, height) if orientation in (5, 6, 7, 8) else (height, width)


def _tagged(image):
    """Has a PNG any tags? They may stand behind the pixels, which Pillow therefore decodes to look for them."""
    place = image.fp.tell()
    try:
        image.fp.seek(8)
        while len(head := image.fp.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if kind in (b"eXIf", b"iTXt", b"zTXt", b"tEXt"):
                return True
            image.fp.seek(length + 4, os.SEEK_CUR)
        return False
    finally:
        image.fp.seek(place)


def _raw_modes(image):
    """How the decoder is told that the values lie in the file, one for each tile."""
    arguments = [tile[3] for tile in image.tile]
    return [raw[0] if isinstance(raw, tuple) and raw else raw for raw in arguments]


def _deep_colour(image):
    """Has the file 16 bits a colour? Pillow keeps the upper 8 of them."""
    return image.mode in ("RGB", "RGBA") and any(
        isinstance(raw, str) and ";16" in raw for raw in _raw_modes(image)
    )


def _is_deep(image):
    return image.mode.startswith("I") or _deep_colour(image)


def _deep_values(image, path):
    """The values (H, W) or (H, W, 3) of an image of more than 8 bits that is not decoded yet, transparency apart."""
    if not _deep_colour(image):
        values = np.asarray(image)
        # 0 is white, as in X-ray images: Pillow turns 8 bits round, no others
        if _tag(image, PHOTOMETRIC, 1) == 0:
            values = (1.0 if image.mode == "F" else 2 ** (_tag(image, BITS) or 16) - 1) - values.astype(
                np.float64
            )
        return values
    upper, lower = np.asarray(image).astype(np.uint16), _lower_bytes(path)
    return (upper << 8 | lower)[..., :3]


def _lower_bytes(path):
    """What Pillow drops of 16 bits a colour: it keeps the upper byte, so it is told that the lower one is that."""
    other = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
    with _opened(path) as image:
        tiles = []
        for tile, raw in zip(image.tile, _raw_modes(image), strict=True):
            if image.mode == "RGBA" and raw.startswith("LA"):
                raise ValueError(
                    "16 bits of grey with transparency cannot be read: save it without transparency"
                )
            swapped = raw[:-1] + other[raw[-1]]
            arguments = swapped if isinstance(tile[3], str) else (swapped, *tile[3][1:])
            tiles.append(
                type(tile)(*tile[:3], arguments) if hasattr(tile, "_fields") else (*tile[:3], arguments)
            )
        image.tile = tiles
        return np.asarray(image)


def _eight_bit(image, path, white):
    """(an image of 8 bits, laid on white where it is transparent; was a deep value above white in it)."""
    from PIL import Image

    cut = False
    if _tag(image, SAMPLES) == 2 and image.mode == "L":
        raise ValueError(
            "it holds signed numbers of 8 bits, which are read as unsigned ones: save it with unsigned ones"
        )
    if _is_deep(image) or image.mode == "F":
        clear, info = None, image.info
        values = _deep_values(image, path).astype(np.float64)
        if image.mode == "RGBA":
            clear = image.getchannel("A")
        # the value, or the colour, that is transparent
        elif isinstance(info.get("transparency"), (int, tuple)):
            same = values == np.array(info["transparency"])
            same = same.all(2) if same.ndim == 3 else same
            clear = Image.fromarray(np.where(same, 0, 255).astype(np.uint8))
        top, most = (1.0, 1.0) if image.mode == "F" else (white, 65535.0)
        if not (values.min() >= 0 and values.max() <= most):
            raise ValueError(f"its values lie outside 0..{most:g}")
        cut = bool(values.max() > top)
        image = Image.fromarray(np.round(np.minimum(values, top) * (255 / top)).astype(np.uint8))
        if clear is not None:
            image = image.convert("RGB")
            image.putalpha(clear)
    if image.mode == "La":
        image = image.convert("LA")
    if "transparency" in image.info or image.mode in ("LA", "PA", "RGBA", "RGBa"):
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image, cut
