"""Files that are whole or absent, whatever they are called and whatever stands in their place."""

import errno
import os
import threading

import pytest

from dualad_lib import files
from dualad_lib.errors import DataError
from dualad_lib.files import (
    LONGEST,
    atomic_write,
    check_places,
    expand,
    only_writer,
    readable,
    shown,
    with_ending,
    writable,
)


def write(path, text="new"):
    with atomic_write(path) as temporary:
        temporary.write_text(text)


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / "a.csv").write_text("old")
    with pytest.raises(OSError, match="full"), atomic_write(tmp_path / "a.csv") as temporary:
        temporary.write_text("half")
        raise OSError("the disk is full")
    assert (tmp_path / "a.csv").read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_a_link_stays_and_its_target_is_replaced(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "real.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to("far/real.csv")
    (tmp_path / "second.csv").symlink_to("link.csv")
    (tmp_path / "open.csv").symlink_to("far/later.csv")
    write(tmp_path / "second.csv")
    write(tmp_path / "open.csv", "later")
    assert all((tmp_path / name).is_symlink() for name in ("link.csv", "second.csv", "open.csv"))
    assert {p.name: p.read_text() for p in (tmp_path / "far").iterdir()} == {
        "real.csv": "new",
        "later.csv": "later",
    }


def test_a_pipe_gets_the_content_and_stays(tmp_path):
    pipe, got = tmp_path / "pipe.csv", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()), daemon=True)
    reader.start()
    write(pipe, "x" * 200_000)
    reader.join(10)
    assert got == ["x" * 200_000] and pipe.is_fifo() and [p.name for p in tmp_path.iterdir()] == ["pipe.csv"]


def test_a_pipe_that_nobody_reads_is_an_error_and_no_wait_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "READER_COMES", 0.2)
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(
        DataError, match=r"pipe\.csv is a named pipe that nobody reads: start its reader first"
    ):
        write(tmp_path / "pipe.csv", "x")
    assert [p.name for p in tmp_path.iterdir()] == ["pipe.csv"]


def test_folders_and_circles_are_refused(tmp_path):
    (tmp_path / "circle").symlink_to("circle")
    for path, words in ((tmp_path, "is a folder"), (tmp_path / "circle", "circle of links")):
        with pytest.raises(DataError, match=words):
            write(path)
    assert (tmp_path / "circle").is_symlink()


def test_a_file_where_a_folder_should_be_is_named(tmp_path):
    (tmp_path / "notes").write_text("mine")
    with (
        pytest.raises(DataError, match="new.txt cannot be written: Not a directory. .*notes is a file"),
        atomic_write(tmp_path / "notes" / "deep" / "new.txt"),
    ):
        pytest.fail("nothing can be written there")
    assert (tmp_path / "notes").read_text() == "mine" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "name", ["x" * 251 + ".csv", "a." + "y" * 253, "é" * 125 + ".csv", "\U0001f600" * 63, "caf\udce9.csv"]
)
def test_any_name_that_a_file_can_have_can_be_written(tmp_path, name):
    assert len(os.fsencode(name)) <= LONGEST
    write(tmp_path / name)
    assert os.listdir(tmp_path) == [name]


def test_names_with_an_ending_stay_short_and_apart():
    assert with_ending("a.png", ".png") == "a.png.png"
    long = [with_ending("é" * 125 + end, ".png") for end in ("a", "b")]
    assert long[0] != long[1] and all(len(os.fsencode(name)) <= LONGEST for name in long)
    assert long[0].endswith(".png")


def test_names_are_shown_in_one_line_of_valid_text():
    assert readable("caf\udce9.png") == "caf\\xe9.png"
    assert readable("a\nb é.png") == "a\nb é.png"
    assert shown("a\nb\r\u202eé.png") == "a\\nb\\r\\u202eé.png"


def test_home_is_expanded_where_there_is_one(monkeypatch):
    monkeypatch.setenv("HOME", "/somewhere")
    assert str(expand("~/a/~b")) == "/somewhere/a/~b"
    assert str(expand("~no_such_user_here/a")) == "~no_such_user_here/a"


def test_an_error_of_the_system_names_the_file_that_was_meant(tmp_path, monkeypatch):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(OSError, match="No space left") as caught, atomic_write(tmp_path / "a.csv"):
        raise full
    assert caught.value.filename == str(tmp_path / "a.csv") and caught.value.filename2 is None
    with pytest.raises(FileNotFoundError) as caught, atomic_write(tmp_path / "a.csv"):
        open(tmp_path / "other.csv")  # noqa: SIM115 (it is not there)
    assert caught.value.filename == str(tmp_path / "other.csv")

    def refuse(source, target):
        raise PermissionError(errno.EACCES, "Permission denied", source, None, target)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(PermissionError) as caught:
        write(tmp_path / "a.csv")
    assert str(caught.value).endswith(f"Permission denied: '{tmp_path / 'a.csv'}'")
    assert not list(tmp_path.iterdir())


def test_whether_a_place_can_be_written_is_known_before_and_leaves_nothing(tmp_path):
    (tmp_path / "file").write_text("old")
    assert writable(tmp_path / "a" / "b" / "c.csv") == tmp_path / "a" / "b" / "c.csv"
    assert writable(tmp_path / "file") == tmp_path / "file"
    os.mkfifo(tmp_path / "pipe")
    assert writable(tmp_path / "pipe") == tmp_path / "pipe"
    for path, words in (
        (tmp_path / "file" / "a" / "b.csv", r"b\.csv cannot be written: Not a directory\."),
        (tmp_path / ("x" * 300), "xx cannot be written: File name too long"),
        (tmp_path / "a\0b", "cannot be written: .*null"),
        (tmp_path, "is a folder, not a file"),
    ):
        with pytest.raises(DataError, match=words):
            writable(path)
    assert sorted(os.listdir(tmp_path)) == ["file", "pipe"] and (tmp_path / "file").read_text() == "old"


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="/proc takes no files, whoever asks")
def test_a_folder_that_takes_no_files_is_said_with_the_name_that_was_given():
    with pytest.raises(DataError, match=r"^/proc/deep/a\.csv cannot be written: [A-Z][^/]*\.$"):
        writable("/proc/deep/a.csv")


def test_no_output_takes_the_place_of_an_input_or_of_another_output(tmp_path):
    (tmp_path / "in.png").write_text("a photograph")
    (tmp_path / "link.png").symlink_to("in.png")
    table = (tmp_path / "s.csv", "the table")
    photo = (tmp_path / "in.png", "one of the images")
    check_places([table, (tmp_path / "r.html", "the report")], [photo, (tmp_path / "gone", "the model")])
    with pytest.raises(
        DataError, match=r"in\.png is one of the images, and the table would replace it: give"
    ):
        check_places([(tmp_path / "link.png", "the table")], [photo])
    with pytest.raises(
        DataError, match=r"the table and the report would both be .*s\.csv: give each its own"
    ):
        check_places([table, (tmp_path / "x" / ".." / "s.csv", "the report")], [])
    with pytest.raises(DataError, match=r"s\.csv would be the table and also a folder, for the report"):
        check_places([(tmp_path / "s.csv" / "r.html", "the report"), table], [])


def test_a_second_writer_is_told_and_nothing_stays(tmp_path):
    out = tmp_path / "new" / "m.safetensors"
    with only_writer(out):
        with (
            pytest.raises(DataError, match=r"m\.safetensors is being made by another command"),
            only_writer(out),
        ):
            pass
        with only_writer(tmp_path / "new" / "other.safetensors"):
            pass
    assert not list(tmp_path.iterdir())
    with only_writer(out):
        write(out)
    assert [path.name for path in out.parent.iterdir()] == [out.name]
