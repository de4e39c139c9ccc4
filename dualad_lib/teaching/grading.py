"""Points for a submission: its cells run in a Jupyter kernel, and the checks in this process, on what they hand over.

Student code runs in a real ipykernel: magics, shell commands, display and top-level await work as they did for the
student; who asks with input() is given an empty line. Its kernel has a session of its own, an empty working directory,
an environment without the grader's variables, and hard limits (processor time, memory, size of files, processes). A
cell that does not end, ends the kernel or fills the memory costs its own exercise: what stood before it is run again
in a new kernel, and grading goes on. When all is done, the kernel ends with every process that came from it.

Only the grader gives points. A check runs in this process, with this process's library. Where it calls a student's
function, the call goes to the kernel and data come back (`bridge`): numbers, texts, arrays, never objects or verdicts.
Secret, hidden tests, their labels and model answers do not enter the kernel, its environment or its files.

What remains. Student code has the rights of the user who grades: it can read that user's files, use the network, and
end that user's processes. A secret in the command line of `uv run` shows in `ps`, though not in that of `dualad`. The
checks are public: who knows their test cases can hand over right answers without a method. A program that sheds its
environment and ends the host of its kernel can outlive the grading, though not its limits. Memory is limited for each
process by itself, and on Linux alone. For people you do not know, grade in a container (see the README).
"""

import io
import time
from contextlib import redirect_stdout
from dataclasses import dataclass

from . import checks, project
from .kernels import Died, Kernel, Stopped, in_words
from .submissions import grade_id, role

START = 60  # seconds in which a kernel must have started
OVERHEAD = 10  # seconds beyond the sum of the cells' limits, for running again what a lost kernel had run
TO_READ = "to be graded by a person"
JUDGES = {"checks": checks, "project": project}
SETUP = "setup"  # the grade_id of the imports
IN_PLACE = (
    "check_attack_step",
    "check_detector",
)  # ask whether their arrays were changed; others' arrays never are
CORES = 4  # that a cell may use for its seconds


@dataclass(frozen=True)
class Grade:
    """Points of one exercise. points: None where a person grades. why: what the student is told."""

    exercise: str
    points: float | None
    most: float
    why: str


def grade(validated, master, seconds=30, memory_mb=1024):
    """Grades of a validated submission, one a check or answer in words; master: its assignment, with hidden tests.

    seconds: limit of each cell, and of each check. memory_mb: what student code may take beyond the libraries (where
    the system can limit it: Linux). An answer that a person must decide about gets no points and says so. Not for
    several threads at a time. Raises RunError where no kernel starts.
    """
    open_questions = {f.cell: f.what for f in validated.findings if not f.repaired}
    originals = {grade_id(cell): cell for cell in master["cells"]}
    results = judge(validated.notebook, master, seconds, memory_mb)
    grades = []
    for cell in validated.notebook["cells"]:
        asked, found = role(cell), grade_id(cell)
        if found not in originals or not asked.get("grade"):
            continue
        exercise, most = _exercise(found), asked["points"]
        name = exercise if found.endswith(("-check", "-answer")) else found
        question = open_questions.get(f"{exercise}-answer")
        if question is not None:
            grades.append(Grade(name, None, most, f"not graded: {question}"))
        elif asked["solution"]:
            empty = cell["source"].strip() in ("", originals[found]["metadata"]["dualad"]["stub"].strip())
            grades.append(Grade(name, 0 if empty else None, most, "not answered" if empty else TO_READ))
        else:
            why = results[found]
            grades.append(Grade(name, 0 if why else most, most, why or "right"))
    return grades


def judge(notebook, master, seconds=30, memory_mb=1024):
    """{grade_id of each check: "" if it passed, else why not} of a notebook, cell by cell; see `grade`."""
    return _Run(_code_cells(notebook, master), seconds, memory_mb).results()


def _code_cells(notebook, master):
    """Code cells as they are run: dicts with id (None for a student's own cell), source and check.

    A check's source is the master's, whatever the submission holds.
    """
    originals, cells = {grade_id(cell): cell for cell in master["cells"]}, []
    for cell in notebook["cells"]:
        name = grade_id(cell) if grade_id(cell) in originals else None
        if cell["cell_type"] == "code":
            check = name is not None and bool(role(cell).get("grade"))
            source = originals[name]["source"] if check else cell["source"]
            cells.append({"id": name, "source": source, "check": check})
    return cells


def _exercise(name):
    """The exercise that a cell belongs to: "00-2" for "00-2-check"; None for a student's own cell."""
    return name and name.rsplit("-", 1)[0]


class _Run:
    """One submission on its way through its kernel, or where that is lost, its kernels."""

    def __init__(self, cells, seconds, memory_mb):
        self.cells, self.seconds, self.memory_mb = cells, seconds, memory_mb
        self.kernel, self.ran = None, []  # sources that the kernel has run, and a new one would run again
        self.failed, self.stopped = {}, {}  # what went wrong in the cells of an exercise
        self.budget = START + seconds * len(cells) + OVERHEAD
        self.ends = None

    def results(self):
        """{grade_id of each check: "" if it passed, else why not, also where the run did not get there}."""
        found = {}
        try:
            for cell in self.cells:
                if cell["check"]:
                    found[cell["id"]] = self._judge(cell)
                else:
                    self._execute(cell)
        except _NoTimeLeft:
            late = f"stopped: no end after {self.seconds:g} s a cell"
            found = {**{cell["id"]: late for cell in self.cells if cell["check"]}, **found}
        finally:
            self._lose()
        return found

    def _execute(self, cell):
        """Run a cell that is no check."""
        exercise = _exercise(cell["id"])
        try:
            why = self._attempt(exercise, lambda kernel: kernel.run(cell["source"], self._left()))
            self.ran.append(cell)
            if why:
                self.failed.setdefault(exercise, why)
        except Stopped as stopped:
            self.stopped.setdefault(exercise, str(stopped))

    def _judge(self, cell):
        """What a check says of the student's answer; "" where it passed."""
        exercise = _exercise(cell["id"])
        if exercise in self.stopped:
            return self.stopped[exercise]
        try:
            return self._attempt(exercise, lambda kernel: self._check(cell, kernel))
        except Stopped as stopped:
            return str(stopped)

    def _check(self, cell, kernel):
        in_place = any(name in cell["source"] for name in IN_PLACE)
        names = _Names(kernel, time.monotonic() + self._left(), in_place)
        try:
            with redirect_stdout(io.StringIO()):
                exec(compile(cell["source"], cell["id"], "exec"), {}, names)
            return ""
        except NameError as error:
            return self.failed.get(_exercise(cell["id"])) or in_words("NameError", error)
        except Exception as error:
            return in_words("MemoryError" if isinstance(error, MemoryError) else type(error).__name__, error)

    def _attempt(self, exercise, act):
        """act(kernel). Where the kernel dies: again without the other exercises' cells, and without the student's own.

        One of those may have left a thread or a timer behind that ends the kernel. Raises Stopped for what dies alone.
        """
        before = self.ran
        needed = [cell for cell in before if _exercise(cell["id"]) in (exercise, SETUP)]
        own = [cell for cell in before if cell in needed or cell["id"] is None]
        for self.ran in (before, own, needed):
            try:
                return act(self._running())
            except Died as died:
                last = died
        self.ran = before
        raise last

    def _running(self):
        """The kernel; where it was lost, a new one in which the earlier cells have run again."""
        while self.kernel is None or not self.kernel.alive:
            self._lose()
            self.kernel = Kernel(self.memory_mb, CORES * self.budget, START)
            if self.ends is None:
                self.ends = time.monotonic() + self.budget
            for cell in self.ran:
                try:
                    self.kernel.run(cell["source"], self._left())
                except Stopped:  # it took the last kernel down with a delay; this time it is known
                    self.ran = [one for one in self.ran if one is not cell]
                    break
        return self.kernel

    def _left(self):
        left = min(self.seconds, self.ends - time.monotonic())
        if left <= 0:
            raise _NoTimeLeft
        return left

    def _lose(self):
        if self.kernel is not None:
            self.kernel.close()
            self.kernel = None


class _NoTimeLeft(BaseException):
    """All cells together have taken longer than they may."""


class _Names(dict):
    """What a check sees: the library's modules of this process, and all else as the kernel has it."""

    def __init__(self, kernel, *how):
        super().__init__(JUDGES)
        self.kernel, self.how = kernel, how

    def __missing__(self, name):
        return self.kernel.fetch(name, *self.how)
