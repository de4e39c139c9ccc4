"""Photographs of every kind: upright, on one scale, or listed with the reason why not."""

import os
import re
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, JpegImagePlugin

from dualad_lib.data import load_image_folder, read_images
from dualad_lib.data.folders import Reader, find_images, frame_of
from dualad_lib.data.image_io import read_header, read_picture, save_drawing, white_of
from dualad_lib.errors import DataError

TURNED = {
    1: None,
    2: 0,
    3: 3,
    4: 1,
    5: 5,
    6: 2,
    7: 6,
    8: 4,
}  # the transposition that stores an upright image so
STORED = {6: 4, 8: 2}  # quarter turns are undone by the opposite one


def upright(mode="RGB"):
    """A picture of 40 x 24 pixels without any symmetry."""
    image = Image.new("RGB", (40, 24), (230, 220, 200))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 19, 7), fill=(250, 20, 30))
    draw.rectangle((30, 12, 39, 23), fill=(10, 40, 200))
    return image.convert(mode)


def stored(image, tag):
    return image if tag == 1 else image.transpose(TURNED[tag])


def difference(path, image, white=65535):
    channels = 1 if image.mode in ("1", "L") else 3
    pixels = read_picture(path, (24, 40), channels, white).pixels.astype(int)
    wanted = np.asarray(image.convert("L" if channels == 1 else "RGB")).astype(int)
    return np.abs(pixels.transpose(1, 2, 0) - wanted.reshape(24, 40, channels)).mean()


@pytest.mark.parametrize("tag", TURNED)
@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA", "CMYK", "I;16", "P"])
@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_tiffs_come_upright_whatever_their_mode_and_compression(tmp_path, tag, mode, compression):
    exif = Image.Exif()
    exif[0x0112] = tag
    image = upright()
    if mode == "I;16":
        image = upright("L")
        deep = np.asarray(stored(image, tag)).astype(np.uint16) * 257
        kept = Image.fromarray(deep)
    elif mode == "P":
        kept, image = stored(image.quantize(8), tag), image.quantize(8)
    else:
        image = upright(mode)
        kept = stored(image, tag)
    path = tmp_path / "image.tif"
    kept.save(path, exif=exif, compression=compression)
    assert difference(path, image) < 1
    assert read_header(path).shape == (24, 40)


@pytest.mark.parametrize("tag", TURNED)
@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif"])
def test_orientation_counts_for_pixels_shape_and_frame(tmp_path, tag, ending):
    exif = Image.Exif()
    exif[0x0112] = tag
    options = {"lossless": True} if ending == "webp" else {"quality": 95, "subsampling": 0}
    path = tmp_path / f"image.{ending}"
    stored(upright(), tag).save(path, exif=exif, **(options if ending in ("jpg", "webp") else {}))
    assert difference(path, upright()) < 4
    assert read_header(path).shape == read_picture(path, (8, 8), 3).shape == (24, 40)
    assert frame_of([path], 64) == (40, 64)


def test_large_photographs_are_read_as_without_the_decoders_halving(tmp_path, monkeypatch):
    decoded = []
    shrink = JpegImagePlugin.JpegImageFile.draft
    monkeypatch.setattr(
        JpegImagePlugin.JpegImageFile,
        "draft",
        lambda image, *options: (shrink(image, *options), decoded.append(image.size)),
    )
    exif = Image.Exif()
    exif[0x0112] = 6
    image = upright().resize((1600, 960), Image.Resampling.BICUBIC)
    stored(image, 6).save(tmp_path / "large.jpg", exif=exif, quality=95)
    picture = read_picture(tmp_path / "large.jpg", (24, 40), 3)
    wanted = np.asarray(image.resize((40, 24), Image.Resampling.BILINEAR)).transpose(2, 0, 1).astype(int)
    assert picture.shape == (960, 1600) and decoded == [(120, 200)]  # as stored, an eighth
    assert np.abs(picture.pixels.astype(int) - wanted).mean() < 2


def with_exif(path, content):
    """A JPEG with these bytes as its EXIF."""
    upright().save(path, quality=95)
    data, app1 = path.read_bytes(), b"Exif\0\0" + content
    path.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(app1) + 2) + app1 + data[2:])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"II*\0",
        b"no exif at all, but text",
        b"MM\0*\0\0\0\x08\xff\xff",  # 65535 entries
        b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHII", 0x0112, 3, 1, 77) + b"\0" * 4,  # orientation 77
        b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHII", 0x0112, 7, 4, 0xFFFFFFFF) + b"\0" * 4,  # of no type
        b"II*\0\x08\0\0\0\x02\0"  # an exposure of 1/-0 seconds before the end
        + struct.pack("<HHII", 0x0112, 3, 1, 1)
        + struct.pack("<HHII", 0x829A, 10, 1, 38)
        + b"\0" * 4
        + struct.pack("<ii", -1, 0),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_damaged_exif_beside_sound_pixels(tmp_path, content):
    with_exif(tmp_path / "image.jpg", content)
    assert difference(tmp_path / "image.jpg", upright()) < 4
    assert len(read_images(tmp_path, 16)[0]) == 1


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(values):
    """A PNG of 16 bits a value, (H, W, C), each row written as its difference to the left (filter 1)."""
    height, width, channels = values.shape
    rows = np.ascontiguousarray(values.astype(">u2")).view(np.uint8).reshape(height, -1)
    left = np.pad(rows, ((0, 0), (2 * channels, 0)))[:, : rows.shape[1]]
    data = b"".join(b"\1" + row.tobytes() for row in rows - left)
    kind = {1: 0, 3: 2, 4: 6}[channels]
    head = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    parts = chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(data)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_a_tag_behind_the_pixels_of_a_png(tmp_path):
    upright().transpose(Image.Transpose.ROTATE_90).save(tmp_path / "image.png")
    data, exif = (tmp_path / "image.png").read_bytes(), Image.Exif()
    exif[0x0112] = 6
    end = data.index(b"IEND") - 4
    (tmp_path / "image.png").write_bytes(data[:end] + chunk(b"eXIf", exif.tobytes()[6:]) + data[end:])
    assert difference(tmp_path / "image.png", upright()) == 0
    assert frame_of(tmp_path, 64) == (40, 64)


@pytest.mark.parametrize(
    ("bits", "white"), [(8, 255), (10, 1023), (11, 4095), (12, 4095), (14, 16383), (16, 65535)]
)
@pytest.mark.parametrize("kind", ["grey.png", "grey.tif", "colour.png", "transparent.png"])
def test_the_white_of_deep_files_comes_from_their_values(tmp_path, bits, white, kind):
    values = np.linspace(0, 2**bits - 1, 24 * 40 * 4).reshape(24, 40, 4).round().astype(np.uint16)
    channels = {"grey": 1, "colour": 3, "transparent": 4}[kind.split(".")[0]]
    values = values[..., :channels]
    if channels == 4:
        values[..., 3] = 65535
    path = tmp_path / kind
    if kind == "grey.tif":
        Image.fromarray(values[..., 0]).save(path)
    else:
        path.write_bytes(png(values))
    assert white_of(path) == white
    pixels = read_picture(path, (24, 40), min(channels, 3), white).pixels
    wanted = values[..., :3].transpose(2, 0, 1) * (255 / white)
    assert np.abs(pixels - wanted).max() <= 0.51
    reader = Reader(path, (24, 40))
    assert reader.white == white and (len(reader.remarks()) == (bits < 15))


def test_the_white_of_training_images_holds_for_those_to_test(tmp_path):
    for folder, value in (("normal", 1000), ("new", 500)):
        (tmp_path / folder).mkdir()
        Image.fromarray(np.full((8, 8), value, np.uint16)).save(tmp_path / folder / "a.png")
    with pytest.warns(UserWarning, match="1023 counts as white"):
        task = load_image_folder(tmp_path / "normal", tmp_path / "new", image_size=8)
    assert (int(task.train[0, 0, 0, 0]), int(task.test[0, 0, 0, 0])) == (249, 125)
    reader = Reader(tmp_path / "normal", 8, white=255)
    list(reader.pictures())
    assert [path.name for path in reader.cut] == ["a.png"] and "cut at the value 255" in reader.remarks()[1]


def inverted(path, number=262, value=0):
    """Change a tag of a little-endian TIFF in its place; by default, 0 becomes white."""
    content = path.read_bytes()
    kept = re.search(struct.pack("<HHI", number, 3, 1) + b"..", content, re.DOTALL)
    path.write_bytes(content.replace(kept[0], struct.pack("<HHIHH", number, 3, 1, value, 0)[:10]))


@pytest.mark.parametrize("bits", [8, 16])
def test_a_tiff_whose_white_is_zero_is_no_negative(tmp_path, bits):
    top = 2**bits - 1
    grey = np.linspace(0, top, 40).round().astype(f"u{bits // 8}") * np.ones((24, 1), f"u{bits // 8}")
    Image.fromarray(grey).save(tmp_path / "a.tif")
    Image.fromarray(top - grey).save(tmp_path / "b.tif")
    inverted(tmp_path / "b.tif")
    a, b = (read_picture(tmp_path / name, (24, 40), 1).pixels for name in ("a.tif", "b.tif"))
    assert np.array_equal(a, b) and a[0, 0, 0] == 0 and a[0, 0, -1] == 255
    dark = (grey // 256 if bits == 16 else grey) // 2
    Image.fromarray((top - dark).astype(grey.dtype)).save(tmp_path / "b.tif")
    inverted(tmp_path / "b.tif")
    assert white_of(tmp_path / "b.tif") == 255  # of what it shows, not of what is stored


def test_signed_numbers_of_eight_bits_are_refused(tmp_path):
    Image.new("L", (40, 24), 200).save(tmp_path / "a.tif", tiffinfo={339: 2})
    with pytest.raises(ValueError, match="signed"):
        read_picture(tmp_path / "a.tif", (24, 40), 1)


def test_transparency_of_deep_colour_lies_on_white(tmp_path):
    values = np.full((24, 40, 3), (0, 30000, 65535), np.uint16)
    values[0, 0] = (
        0,
        30000,
        65534,
    )  # the one colour that is transparent; its upper bytes are those of the others
    content = png(values)
    mark = b"tRNS" + struct.pack(">HHH", *values[0, 0])
    chunk = struct.pack(">I", 6) + mark + struct.pack(">I", zlib.crc32(mark))
    at = content.index(b"IDAT") - 4
    (tmp_path / "a.png").write_bytes(content[:at] + chunk + content[at:])
    pixels = read_picture(tmp_path / "a.png", (24, 40), 3).pixels
    assert pixels[:, 0, 0].tolist() == [255, 255, 255] and pixels[:, 5, 5].tolist() == [0, 117, 255]


def test_transparency_of_deep_grey_lies_on_white(tmp_path):
    Image.fromarray(np.array([[0, 65535], [30000, 500]], np.uint16)).save(
        tmp_path / "a.png", transparency=500
    )
    pixels = read_picture(tmp_path / "a.png", (2, 2), 1).pixels[0]
    assert pixels.tolist() == [[0, 255], [117, 255]]


def test_whatever_looks_like_a_picture_is_read_or_listed(tmp_path):
    image, noise = upright(), os.urandom(400)
    for name, kind in (
        ("none", "PNG"),
        ("photo.jpg.bak", "JPEG"),
        ("x.dat", "BMP"),
        ("y.old", "TIFF"),
        ("z.1", "PPM"),
    ):
        image.save(tmp_path / name, kind)
    image.save(tmp_path / "wrong.heic", "JPEG")  # sound, under a wrong ending
    good = {"none", "photo.jpg.bak", "x.dat", "y.old", "z.1", "wrong.heic"}
    bad = {
        "a.HEIC": b"\0\0\0\x18ftypheic" + noise,
        "heic": b"\0\0\0\x18ftypmif1" + noise,
        "b.jxl": b"\xff\x0a" + noise,
        "c.Nef": b"MM\0*" + noise,
        "scan": noise[:128].replace(b"\xff", b"\0") + b"DICM" + noise,
        "d.dcm": noise,
        "e.exr": b"",
    }
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
    image.save(tmp_path / "sony.arw", "TIFF")  # the preview is no photograph
    for name in ("notes.txt", "Thumbs.db", "list.csv", "model.safetensors"):
        (tmp_path / name).write_bytes(b"BMW is no bitmap, P5 no picture; " + noise)
    os.mkfifo(tmp_path / "pipe.png")
    os.mkfifo(tmp_path / "pipe")
    with pytest.warns(UserWarning, match=rf"Skipped {len(bad) + 2} of"):
        _, read, skipped = read_images(tmp_path, 16)
    assert {path.name for path in read} == good
    assert {path.name for path in skipped} == {*bad, "sony.arw", "pipe.png"}


def test_reasons_name_the_format_and_the_way_out(tmp_path):
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic" + b"\0" * 50)
    with pytest.raises(DataError, match=r"\.heic is none that Pillow reads: convert it"):
        read_images(tmp_path, 8)
    upright().save(tmp_path / "b.tif", tiffinfo={50706: b"\1\4\0\0"})
    with pytest.raises(DataError, match="DNG"):
        read_images(tmp_path / "b.tif", 8)


def test_a_folder_that_cannot_be_opened_is_named(tmp_path, monkeypatch):
    upright().save(tmp_path / "a.png")
    (tmp_path / "closed").mkdir()
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.warns(UserWarning, match="closed cannot be opened"):
        assert len(find_images(tmp_path)[0]) == 1


def test_own_drawings_are_no_images_and_others_with_text_are(tmp_path):
    save_drawing(np.zeros((8, 8, 3), np.uint8), tmp_path / "map.png")
    with pytest.raises(DataError, match="only 1 drawings of this library"):
        read_images(tmp_path, 8)
    upright().save(tmp_path / "a.png")
    assert [path.name for path in read_images(tmp_path, 8)[1]] == ["a.png"]


@pytest.mark.parametrize(
    ("sizes", "longer", "frame"),
    [
        ([(300, 200)], 256, (168, 256)),
        ([(200, 300)], 256, (256, 168)),
        ([(28, 28)], 28, (28, 28)),
        ([(100, 99)], 100, (100, 100)),  # nearly square
        ([(1000, 50)], 256, (32, 256)),
        ([(1000, 50)], 20, (20, 20)),
        ([(300, 200)] * 3 + [(200, 300)] * 2, 64, (40, 64)),
    ],
)
def test_the_frame_has_the_median_aspect_ratio(tmp_path, sizes, longer, frame):
    for i, size in enumerate(sizes):
        Image.new("L", size).save(tmp_path / f"{i}.png")
    assert frame_of(tmp_path, longer) == frame
    assert read_images(tmp_path, longer, keep_aspect=True)[0].shape[2:] == frame
    assert read_images(tmp_path, longer)[0].shape[2:] == (longer, longer)
    assert load_image_folder(tmp_path, image_size=longer, keep_aspect=True).train.shape[2:] == frame


def test_what_is_stretched_is_named(tmp_path):
    for name, size in (("a", (60, 40)), ("b", (60, 40)), ("c", (40, 60)), ("d", (60, 45))):
        Image.new("L", size).save(tmp_path / f"{name}.png")
    reader = Reader(tmp_path, 60, keep_aspect=True)
    assert len(list(reader.pictures())) == 4
    (line,) = reader.remarks()
    assert (
        line.startswith("stretched to the model's frame, 40 x 60") and "c.png" in line and "d.png" not in line
    )


def test_batches_hold_all_images_in_order(tmp_path):
    for i in range(150):
        Image.new("L", (4, 4), i).save(tmp_path / f"{i:03d}.png")
    (tmp_path / "077.png").write_bytes(b"broken")
    reader = Reader(tmp_path, 4)
    batches = list(reader.batches(40))
    assert [len(batch) for batch, _ in batches] == [len(paths) for _, paths in batches] == [40, 40, 40, 29]
    values = torch.cat([batch for batch, _ in batches])[:, 0, 0, 0]
    assert values.tolist() == [i for i in range(150) if i != 77]
    assert [path.name for path in reader.skipped] == ["077.png"]


def test_a_turned_photograph_with_a_damaged_tag_beside_is_turned(tmp_path):
    """Pillow's own `exif_transpose` writes all tags anew, and stumbles over a fraction of nothing."""
    tags = struct.pack("<HHII", 0x0112, 3, 1, 3) + struct.pack("<HHII", 0x829A, 10, 1, 38)
    content = b"II*\0\x08\0\0\0\x02\0" + tags + b"\0" * 4 + struct.pack("<ii", -1, 0)
    with_exif(tmp_path / "image.jpg", content)
    assert difference(tmp_path / "image.jpg", upright().transpose(Image.Transpose.ROTATE_180)) < 4


def test_a_png_whose_tags_are_none(tmp_path):
    upright().save(tmp_path / "image.png")
    data = (tmp_path / "image.png").read_bytes()
    (tmp_path / "image.png").write_bytes(data[:33] + chunk(b"eXIf", b"tags? no!") + data[33:])
    assert difference(tmp_path / "image.png", upright()) == 0
    assert read_header(tmp_path / "image.png").shape == (24, 40)
