"""Whether what a lesson writes out is what the library has."""

import ast

from dualad_lib.course.notebook import cell_tree, code_cells
from dualad_lib.course.provenance import ROOT, dump


def taught_differences(nb, teaches, root=ROOT):
    """Complaints about concepts whose code in the notebook is not the library's, but for docstrings, type hints and
    checks of what is given (`check_...(...)`), which a lesson does without.

    `teaches` maps a class or function of the notebook to its canonical place, "dualad_lib.losses.squared_error".
    """
    cells, complaints = [cell_tree(cell) for cell in code_cells(nb)], []
    for name, place in teaches.items():
        ours = [node for cell in cells if (node := definition(cell, name))]
        module, _, canonical_name = place.rpartition(".")
        path = root.joinpath(*module.split(".")).with_suffix(".py")
        theirs = (
            definition(ast.parse(path.read_text(encoding="utf-8")), canonical_name)
            if path.is_file()
            else None
        )
        if not ours:
            complaints.append(f"the notebook defines no {name}")
        elif theirs is None:
            complaints.append(f"{place} is not defined in the library")
        elif dump(ours[-1]) != dump(unchecked(theirs)):
            complaints.append(f"{name} in the notebook differs from {place}")
    return complaints


def unchecked(function):
    """The definition without its statements `check_...(...)`."""

    def is_check(node):
        call = node.value if isinstance(node, ast.Expr) else None
        return isinstance(call, ast.Call) and getattr(call.func, "id", "").startswith("check_")

    function.body = [node for node in function.body if not is_check(node)]
    return function


def definition(tree, name):
    """The last class or function called `name` at the top of a module or cell, or None."""
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = [node for node in tree.body if isinstance(node, kinds) and node.name == name]
    return found[-1] if found else None
