"""Files that are whole or absent, whatever they are called and whatever stands in their place."""

import os
import threading

import pytest

from dualad_lib import files
from dualad_lib.errors import DataError
from dualad_lib.files import LONGEST, atomic_write, expand, readable, shown, with_ending


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
