"""Hashes that tell a stale notebook: blind to prose, awake to code, equal on every Python version."""

import ast

import nbformat
import pytest
from taught import taught_differences

from dualad_lib.course.manifest import load_course
from dualad_lib.course.notebook import read_source
from dualad_lib.course.provenance import (
    ROOT,
    code_hash,
    combined,
    digest,
    dump,
    library_hashes,
    module_hashes,
    results_folder,
)
from dualad_lib.course.runner import prepare

FILES = {
    "__init__.py": '"""Lazy."""\n_EXPORTS = {"PCA": "detectors", "auroc": "evaluation", "deep": "detectors.base"}\n',
    "evaluation.py": '"""Metrics."""\n\n\ndef auroc(labels, scores):\n    """Area."""\n    return 0.5\n',
    "losses.py": "def squared_error(x_hat, x):\n    return ((x_hat - x) ** 2).mean()\n",
    "plots.py": "import matplotlib\n",
    "detectors/__init__.py": "from .base import deep\nfrom .pca import PCA\n\nDETECTORS = {'pca': PCA}\n",
    "detectors/base.py": "def deep():\n    from ..losses import squared_error\n\n    return squared_error\n",
    "detectors/pca.py": "from .base import deep\n\n\nclass PCA:\n    pass\n",
    "course/__init__.py": "from .recording import record\n",
    "experiments/__init__.py": '_EXPORTS = {"measure": "results"}\n',
    "course/recording.py": "def record(**metrics):\n    pass\n",
    "experiments/results.py": "from .. import auroc\nfrom ..course.runner import run\n\n\ndef measure(): pass\n",
    "course/runner.py": "import dualad_lib.plots\n",
    "cli.py": "import dualad_lib.plots\n",
}


@pytest.fixture
def library(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / "dualad_lib" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def closure(code, root):
    return [name.removeprefix("dualad_lib.") for name in module_hashes(ast.parse(code), root)]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("from dualad_lib import auroc", ["evaluation"]),
        ("from dualad_lib import PCA", ["detectors.base", "detectors.pca", "losses"]),
        ("from dualad_lib.detectors import PCA as P", ["detectors.base", "detectors.pca", "losses"]),
        ("def f():\n    from dualad_lib import deep", ["detectors.base", "losses"]),
        ("from dualad_lib import plots", ["plots"]),
        ("import dualad_lib.plots", ["plots"]),
        ("import dualad_lib.plots as p", ["plots"]),
        ("import dualad_lib as d\nd.auroc(1, 2)\nd.plots.show()", ["evaluation", "plots"]),
        (
            "from dualad_lib.detectors import DETECTORS",
            ["detectors", "detectors.base", "detectors.pca", "losses"],
        ),
        ("from dualad_lib.course import record", ["course.recording"]),
        ("from dualad_lib.experiments import measure", ["evaluation", "experiments.results"]),
        ("from dualad_lib.course.runner import run\nimport dualad_lib.cli", []),
        ("import torch\nfrom numpy import mean", []),
    ],
)
def test_import_closure(code, expected, library):
    assert closure(code, library) == expected


@pytest.mark.parametrize(
    ("module", "old", "new", "changes"),
    [
        ("detectors/base.py", "return squared_error", "return squared_error, 1", True),
        ("losses.py", "** 2", "** 4", True),
        ("losses.py", "x_hat - x", "x - x_hat", True),
        ("evaluation.py", "return 0.5", "return 0.25", False),  # not imported by this notebook
        (
            "losses.py",
            "return ((x_hat - x) ** 2).mean()",
            "# why\n    return (\n        (x_hat - x) ** 2\n    ).mean()",
            False,
        ),
        ("losses.py", "x):\n", 'x):\n    """Mean over all elements."""\n', False),
        ("detectors/pca.py", "from .base", '"""A module."""\nfrom .base', False),
        ("detectors/__init__.py", "PCA}", "PCA, 'other': PCA}", False),
        ("__init__.py", "Lazy", "Very lazy", False),
    ],
)
def test_only_code_changes_the_library_hash(module, old, new, changes, library):
    tree = ast.parse("from dualad_lib import PCA")
    before = combined(module_hashes(tree, library))
    path = library / "dualad_lib" / module
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    assert (combined(module_hashes(tree, library)) != before) is changes


DETECTORS = {
    "__init__.py": "",
    "detectors/__init__.py": "from .registry import SYSTEMS, create\n",
    "detectors/registry.py": """from . import one, two
from ..errors import DataError

SYSTEMS = {system.name: system for system in (one.SYSTEM, two.SYSTEM)}
STAGES = {"first": {"part": False}}


def create(name):
    return SYSTEMS[name]
""",
    "detectors/one.py": "from .. import losses\nSYSTEM = System('one', losses)\n",
    "detectors/two.py": "SYSTEM = System('two', 2)\n",
    "detectors/dualad.py": "SYSTEM = System('dualad', 3)\n",
    "losses.py": "",
    "errors.py": "",
}


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("create('two')", ["two"]),
        ("for name in ('one', 'two', 'three'): create(name)", ["one", "two"]),
        ("create('first')", ["dualad"]),  # a stage of DualAD
        ("create(given)", ["one", "two"]),  # any, then
        ("create('two'), SYSTEMS[given]", ["one", "two"]),
        ("create('two'), [create(name) for name in STAGES if given]", ["one", "two"]),
        (
            "from dualad_lib.detectors import SYSTEMS as all_of_them\ncreate('two'), all_of_them[given]",
            ["one", "two"],
        ),
        ("create('two'), fit_folder(given)", ["one", "two"]),  # it has a detector of its own
        ("study_rows('two'), create(given)", ["one", "two"]),  # a study that is called like a detector
    ],
)
def test_a_lesson_stands_on_the_detectors_that_it_names(code, expected, tmp_path):
    for name, text in DETECTORS.items():
        path = tmp_path / "dualad_lib" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    tree = ast.parse(f"from dualad_lib.detectors import SYSTEMS, create\n{code}")
    before = module_hashes(tree, tmp_path)
    assert [
        name.split(".")[-1] for name in before if name.split(".")[-1] in ("one", "two", "dualad")
    ] == expected
    assert ("dualad_lib.losses" in before) == ("one" in expected)
    registry = tmp_path / "dualad_lib" / "detectors" / "registry.py"
    registry.write_text(registry.read_text().replace("one, two", "one, three, two"))
    (tmp_path / "dualad_lib" / "detectors" / "three.py").write_text("SYSTEM = System('another', 4)\n")
    any_of_them = "given" in code
    assert (module_hashes(tree, tmp_path) != before) is any_of_them
    registry.write_text(registry.read_text().replace("return SYSTEMS", "return 1, SYSTEMS"))
    assert (
        module_hashes(tree, tmp_path)["dualad_lib.detectors.registry"]
        != before["dualad_lib.detectors.registry"]
    )


def test_a_detector_that_a_parameter_names_counts():
    lesson = load_course().select(["08"])[0]
    own = prepare(lesson).stamp["library_modules"]
    other = prepare(lesson, texts={"detector": "padim"}).stamp["library_modules"]
    assert set(other) - set(own) >= {"dualad_lib.detectors.padim"}
    assert {
        name: other[name] for name in own if name != "dualad_lib.detectors.registry"
    }.items() <= own.items()


def test_dump_is_the_same_on_every_python_version():
    """The value was the same on 3.11, 3.12 and 3.13, which cut f-strings differently."""
    code = '''
"""Doc."""
from __future__ import annotations
import a.b as c

@d(1, -2.5e-3, None, x=True)
class A(B, metaclass=M):
    """Doc."""
    y: int | None = None

    async def f(self, a, /, b=1, *args, c, d=..., **kwargs) -> "u":
        "doc"
        async with a as b, c:
            return [x async for x in y if x], {**a, "k": u"v"}, lambda: (yield)

def g():
    match x:
        case {"a": [1, *rest], **others} | None:
            return f"a{{b}}c{x!r:>{w}.2f}d" "e" f"{x=}{y:}" "\\U0001fae8"
    try:
        global z
        z += 1j
    except* OSError as error:
        raise E from error
    return x[1:2, ::3], 10**20, b"\\xff", (n := 3)
'''
    assert digest(dump(ast.parse(code))) == "4129e65c941abd42"


def test_dump_sees_values_and_drops_docstrings_and_hints():
    def same(one, other):
        return dump(ast.parse(one)) == dump(ast.parse(other))

    assert same('def f():\n    """One."""\n    return 1', "def f(): return 1")
    assert same(
        "def f(x: int, *y: str, z: A | None = None) -> int: return x", "def f(x, *y, z=None): return x"
    )
    assert not same("x: int = 1", "x: str = 1")  # of a lesson's parameters, which are checked by it
    assert not same("a = 1", "a = 1.0")
    assert not same("a = 1", "a = True")
    assert not same("a = ''", "a = None")
    assert not same("def f(): return 'x'", "def f(): return 'y'")
    assert not same("f(*a)", "f(a)")


def test_code_hash_of_a_notebook(make_course):
    def of(text):
        return code_hash(read_source(make_course({"01_a": text}).lessons[0]))

    plain = of('# %% tags=["bootstrap"]\nprint(0)\n\n# %% [markdown]\n# Text.\n\n# %%\nx = 1\n')
    assert plain == of(
        '# %% tags=["bootstrap"]\nprint(9)\n\n# %% [markdown]\n# Other.\n\n# %%\nx  =  1  # why\n'
    )
    assert plain != of('# %% tags=["bootstrap"]\nprint(0)\n\n# %%\nx = 2\n')
    assert plain != of('# %% tags=["bootstrap"]\nprint(0)\n\n# %% tags=["parameters"]\nx = 1\n')


def test_library_hashes_name_the_modules():
    nb = nbformat.v4.new_notebook()
    nb.cells = [nbformat.v4.new_code_cell("from dualad_lib.course import record")]
    assert list(library_hashes(nb)) == ["dualad_lib.course.recording"]


def test_taught_code_is_the_librarys(library):
    nb = nbformat.v4.new_notebook()
    teaches = {"squared_error": "dualad_lib.losses.squared_error"}

    def differences(source):
        nb.cells = [nbformat.v4.new_code_cell(source)]
        return taught_differences(nb, teaches, library)

    body = "return ((x_hat - x) ** 2).mean()"
    assert differences(f'def squared_error(x_hat, x):\n    """Taught."""\n    {body}') == []
    assert "differs" in differences(f"def squared_error(x, x_hat):\n    {body}")[0]
    assert "defines no" in differences("x = 1")[0]
    teaches["squared_error"] = "dualad_lib.losses.absolute_error"
    assert "not defined in the library" in differences(f"def squared_error(x_hat, x):\n    {body}")[0]


def test_committed_results_are_the_checkouts_else_the_packages(tmp_path):
    assert results_folder() == ROOT / "figures" / "results"
    assert results_folder(tmp_path) == tmp_path / "dualad_lib" / "_results"
    (tmp_path / "figures" / "results").mkdir(parents=True)
    assert results_folder(tmp_path) == tmp_path / "figures" / "results"


def test_lessons_that_read_results_are_stale_when_these_change(tmp_path):
    """By the name of the study, and by `committed` for the main tables; other files do not count."""
    folder = tmp_path / "figures" / "results"
    folder.mkdir(parents=True)
    code = (
        "from dualad_lib.experiments.results import study_rows\nrows = study_rows('07_x')\nmain = committed()"
    )
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])

    def now():
        hashes = library_hashes(nb, tmp_path)
        return hashes["figures/results/07_x"], hashes["figures/results/tables"]

    empty = now()
    (folder / "08_y_mnist.csv").write_text("a")
    assert now() == empty
    (folder / "07_x_mnist.csv").write_text("a")
    assert now()[0] != empty[0] and now()[1] == empty[1]
    (folder / "tables_mnist.csv").write_text("a")
    assert now()[1] != empty[1]


def test_the_checks_of_open_exercises_make_no_lesson_stale():
    assert module_hashes(ast.parse("from dualad_lib.teaching import checks")) == {}
