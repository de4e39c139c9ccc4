"""The exercises of a lesson, read from its source: the one place where question, hints and solution are written."""

import ast
import re
from dataclasses import dataclass, field

from ..course.notebook import cell_tree, code_cells, read_source
from ..errors import RunError
from . import checks

KINDS = ("Predict", "Code", "Explain", "Try", "Think")
GRADED = {"Predict": 2, "Code": 3, "Explain": 3}  # points
PROJECT = {1: 3, 2: 10, 3: 5}  # of the project's exercises, which are larger
_HEAD = re.compile(r"^\*\*(\d+)\. (\w+)\.\*\*[ \n]", re.MULTILINE)
_DETAILS = re.compile(r"<details><summary>([^<]*)</summary>(.*?)</details>", re.DOTALL)
_PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)


@dataclass
class Exercise:
    """One exercise. `question`, `hints` and `solution` are markdown; `stub` is the code cell a student fills in.

    answer: the name that the stub defines; check: the call that judges it, such as "checks.check_auroc(my_auroc)".
    Both None where there is no code. code: the stub filled in.
    """

    lesson: str
    number: int
    kind: str
    question: str = ""
    stub: str | None = None
    check: str | None = None
    answer: str | None = None
    hints: list = field(default_factory=list)
    solution: str | None = None
    code: str | None = None

    @property
    def name(self):
        """A unique name, such as "00-2" or "project-1", also nbgrader's."""
        return f"{self.lesson.split('_')[0]}-{self.number}"

    @property
    def points(self):
        """0: not graded. Checks give all or nothing; what is explained in words a person grades."""
        return PROJECT[self.number] if self.lesson == "project" else GRADED.get(self.kind, 0)


def read_exercises(lesson):
    """The exercises of a `course.Lesson`, in order. Raises RunError for one that is not written as they should be."""
    found, started = [], False
    for cell in read_source(lesson).cells:
        text = cell.source
        if cell.cell_type == "markdown":
            if not started:
                started, text = _after(text, "## Exercises")
            if started:
                ended, rest = _after(text, "## References", before=True)
                _read_markdown(lesson, rest, found)
                if ended:
                    break
        elif started:
            _read_code(found[-1], text)
    for exercise in found:
        _complete(exercise)
    return found


def imports(lesson, exercises):
    """Import statements that the exercises' code needs: the lesson's own, and of what it teaches the library's form."""
    codes = [code for e in exercises for code in (e.stub, e.code, e.check) if code]
    names = {n.id for code in codes for n in ast.walk(ast.parse(code)) if isinstance(n, ast.Name)}
    if any(e.code for e in exercises):
        names |= {"np", "torch"}  # which another solution than the printed one may use
    lines = {}
    for name in names & set(lesson.teaches):
        module, _, attribute = lesson.teaches[name].rpartition(".")
        lines[name] = f"from {module} import {attribute}" + (f" as {name}" if attribute != name else "")
    for cell in code_cells(read_source(lesson)):
        for node in ast.walk(cell_tree(cell)):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                for alias in node.names:
                    bound = (alias.asname or alias.name).split(".")[0]
                    if bound in names:
                        lines.setdefault(bound, ast.unparse(_only(node, alias)))
    return sorted(lines.values())


def _only(node, alias):
    """The import statement of one of its names."""
    if isinstance(node, ast.Import):
        return ast.Import([alias])
    return ast.ImportFrom(node.module, [alias], node.level)


def _after(text, heading, before=False):
    """(does the heading stand here, what follows it; or, with `before`, what stands before it)."""
    place = re.search(rf"^{heading}$", text, re.MULTILINE)
    if place is None:
        return False, text
    return True, text[: place.start()] if before else text[place.end() :]


def _read_markdown(lesson, text, found):
    """Text before the first head belongs to the exercise before; each head starts a new one."""
    parts = _HEAD.split(text)
    if found:
        _add_text(found[-1], parts[0])
    for number, kind, body in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
        if kind not in KINDS:
            raise RunError(f"{lesson.name}: exercise {number} is called {kind!r}; known: {', '.join(KINDS)}")
        if int(number) != len(found) + 1:
            raise RunError(f"{lesson.name}: exercise {number} stands where {len(found) + 1} should")
        found.append(Exercise(lesson.name, int(number), kind))
        _add_text(found[-1], body)


def _add_text(exercise, text):
    for summary, body in _DETAILS.findall(text):
        if summary.startswith("Hint"):
            exercise.hints.append(body.strip())
        else:
            exercise.solution = body.strip()
    rest = _DETAILS.sub("", text).strip()
    if rest and exercise.stub is None:
        exercise.question = "\n\n".join(filter(None, [exercise.question, rest]))


def _read_code(exercise, source):
    """A stub: what it defines, and as its last statement the check."""
    body = ast.parse(source).body
    last = body[-1]
    call = last.value if isinstance(last, ast.Expr) else None
    if not (isinstance(call, ast.Call) and ".check_" in ast.unparse(call.func)):
        raise RunError(
            f"{exercise.lesson}: exercise {exercise.number}: its code cell does not end in a check"
        )
    exercise.check = ast.unparse(call)
    exercise.answer = ast.unparse(call.args[0])
    first = next(node for node in body if not isinstance(node, (ast.Import, ast.ImportFrom)))
    lines = source.splitlines()[first.lineno - 1 : last.lineno - 1]
    exercise.stub = "\n".join(lines).strip()


def _complete(exercise):
    where = f"{exercise.lesson}: exercise {exercise.number} ({exercise.kind})"
    if not exercise.question:
        raise RunError(f"{where} has no question")
    if exercise.points and exercise.solution is None:
        raise RunError(f"{where} has no solution")
    if exercise.kind in ("Predict", "Code") and exercise.stub is None:
        raise RunError(f"{where} has no code cell")
    if exercise.kind == "Code":
        exercise.code = _filled_function(exercise, where)
    if exercise.kind == "Predict":
        exercise.code = _filled_dictionary(exercise, where)


def _filled_function(exercise, where):
    """The solution's code, under the stub's own signature and docstring."""
    place = _PYTHON.search(exercise.solution)
    if place is None:
        raise RunError(f"{where}: its solution holds no ```python block")
    code, kept = place[1], []
    given = {ast.unparse(n.targets[0]) for n in ast.parse(exercise.stub).body if isinstance(n, ast.Assign)}
    for node in ast.parse(code).body:
        text = ast.get_source_segment(code, node)
        if getattr(node, "name", "") == exercise.answer:
            head = exercise.stub.split("    raise NotImplementedError")[0].rstrip()
            head = head[head.index(f"def {exercise.answer}(") :]
            inside = code.splitlines()[node.body[0].lineno - 1 : node.end_lineno]
            kept.append("\n".join([head, *inside]))
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in given:
            kept.append(text)  # what the stub leaves open
        elif isinstance(node, (ast.Import, ast.ImportFrom, ast.FunctionDef)):
            kept.append(text)  # what it needs; what only tries it out is left behind
    if not any(getattr(node, "name", "") == exercise.answer for node in ast.parse(code).body):
        raise RunError(f"{where}: its solution does not define {exercise.answer}")
    return "\n\n\n".join(kept)


def _filled_dictionary(exercise, where):
    """The stub's dictionary with each None replaced by the answer that the checks hold."""
    written = ast.parse(exercise.stub).body[-1].value
    keys = [ast.literal_eval(key) for key in written.keys]
    tables = answer_tables(keys)
    if len(tables) != 1:
        raise RunError(f"{where}: {len(tables)} keys of the checks fit its dictionary, not one")
    lines = exercise.stub.splitlines()
    for key, value in zip(keys, written.values, strict=True):
        line, start, end = lines[value.lineno - 1], value.col_offset, value.end_col_offset
        lines[value.lineno - 1] = f'{line[:start]}"{tables[0][key][0]}"{line[end:]}'
    return "\n".join(lines)


def answer_tables(keys):
    """The tables of the checks (question -> (answer, reason)) that hold exactly these questions."""
    return [t for t in vars(checks).values() if isinstance(t, dict) and t and set(t) == set(keys)]
