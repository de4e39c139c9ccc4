"""Hashes that say whether a committed notebook still belongs to its source and to the library code it uses.

Code is hashed as a syntax tree without docstrings, so edits of comments, prose and layout cost no re-run.
The tree is written out by `dump`, not by `ast.dump`, whose text differs between Python versions.
"""

import ast
import hashlib
from functools import cache
from pathlib import Path

from .notebook import cell_tree, code_cells

PACKAGE = "dualad_lib"
ROOT = Path(__file__).resolve().parents[2]
# Neither the runner around a lesson nor the checks of its open exercises are what the lesson measures.
_IGNORED = tuple(f"{PACKAGE}.{room}" for room in ("cli", "course", "experiments", "teaching"))
_KEPT = tuple(
    f"{PACKAGE}.{name}"
    for name in (
        "course.recording",
        "experiments.cells",
        "experiments.measuring",
        "experiments.results",
        "experiments.tables",
        "experiments.literature",
    )
)
_REGISTRY = f"{PACKAGE}.detectors.registry"
_ANY = ("SYSTEMS", "STAGES", "fit_folder")  # who speaks of these may ask for any detector
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def results_folder(root=ROOT):
    """Where the committed results lie: figures/results of a checkout, else the copy inside the installed package."""
    checkout = Path(root) / "figures" / "results"
    return checkout if checkout.is_dir() else Path(root) / PACKAGE / "_results"


def digest(text):
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


def source_hash(path):
    """The hash of a text file, whatever its line endings."""
    return digest(Path(path).read_text(encoding="utf-8"))


def code_hash(nb):
    """The hash of a notebook's code cells: trees and tags. The bootstrap cell, which measures nothing, is left out."""
    return digest(
        "\n".join(
            f"{sorted(cell.metadata.get('tags', ()))} {dump(cell_tree(cell), module_docstring=True)}"
            for cell in code_cells(nb)
            if "bootstrap" not in cell.metadata.get("tags", ())
        )
    )


def library_hashes(nb, root=ROOT, given=()):
    """One hash for each library module that the notebook's code imports, directly or through other modules.

    And one for the committed results that it reads, by `study_rows("NAME")` or `committed()`. given: parameters that
    come from outside, plain values; a detector may be named there.
    """
    cells = [cell for cell in code_cells(nb) if "bootstrap" not in cell.metadata.get("tags", ())]
    tree = ast.Module(body=[node for cell in cells for node in cell_tree(cell).body], type_ignores=[])
    return {**module_hashes(tree, root, given), **_results_hashes(tree, root)}


def _results_hashes(tree, root):
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            named = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
            study = {"study_rows": named[:1], "committed": ["tables"]}.get(node.func.id, [])
            for name in study:
                folder = results_folder(root)
                paths = [
                    *sorted(folder.glob(f"{name}_*.csv")),
                    *sorted((folder / "measures").glob(f"{name}_*.csv")),
                ]
                found[f"figures/results/{name}"] = digest("\n".join(map(source_hash, paths)))
    return found


def module_hashes(tree, root=ROOT, given=()):
    """Module name to hash, for the package's modules in the import closure of `tree`; sorted by name.

    Of the registry of detectors count those that `tree` or `given` names ("pca"), so that another one makes no lesson
    stale; all, where no name stands there or the code may choose for itself (it goes through SYSTEMS or STAGES, or fits
    a folder, for which the library names one).
    """
    library = _Library(root, _named(tree, given))
    library.follow(tree, PACKAGE, is_package=True)
    return {module: digest(dump(library.tree(module))) for module in sorted(library.used)}


def _named(tree, given):
    """Words that may be names of detectors; none where the code may choose any of them."""
    nodes = list(ast.walk(tree))
    lists = {
        a.asname or a.name
        for node in nodes
        if isinstance(node, ast.ImportFrom)
        for a in node.names
        if a.name in _ANY
    }
    spoken = {getattr(node, "id", getattr(node, "attr", None)) for node in nodes}
    if spoken & (lists | set(_ANY)):
        return set()
    read = [
        node for node in nodes if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "study_rows"
    ]
    studies = {id(argument) for call in read for argument in call.args}
    nodes = [node for node in nodes if id(node) not in studies] + list(ast.walk(ast.parse(repr(list(given)))))
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def combined(hashes):
    """The library hash: one for all modules."""
    return digest("\n".join(f"{module} {value}" for module, value in sorted(hashes.items())))


def dump(node, module_docstring=False):
    """A syntax tree as text: node types and non-empty fields, no positions, docstrings or type hints of functions."""
    if isinstance(node, list):
        return f"[{','.join(map(dump, node))}]"
    if not isinstance(node, ast.AST):
        return f"{type(node).__name__}:{node!a}"
    fields = []
    for name in node._fields:
        value = getattr(node, name, None)
        if name in ("kind", "type_comment", "type_ignores", "returns"):
            continue
        if name == "annotation" and isinstance(node, ast.arg):
            continue
        if name == "body" and isinstance(node, _DOCUMENTED) and not module_docstring and _docstring(value):
            value = value[1:]
        if isinstance(node, ast.JoinedStr):
            value = _joined(value)
        if value is not None and value != []:
            fields.append(f"{name}={dump(value)}")
    return f"{type(node).__name__}({','.join(fields)})"


def _docstring(body):
    first = body[0] if body else None
    return (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    )


def _joined(values):
    """An f-string's parts with neighbouring texts joined: Python versions cut them differently."""
    parts = []
    for value in values:
        if isinstance(value, ast.Constant):
            if value.value == "":
                continue
            if parts and isinstance(parts[-1], ast.Constant):
                value = ast.Constant(parts.pop().value + value.value)
        parts.append(value)
    return parts


class _Library:
    """The package's source files, and which of them a piece of code needs."""

    def __init__(self, root, named=frozenset()):
        self.root = Path(root)
        self.used = set()
        self.tree = cache(self._tree)
        self.named = named  # words; of the registry only detectors of these names are used, if there is one

    def file(self, module):
        path = self.root.joinpath(*module.split("."))
        for candidate in (path / "__init__.py", path.with_suffix(".py")):
            if candidate.is_file():
                return candidate
        return None

    def _tree(self, module):
        tree = ast.parse(self.file(module).read_text(encoding="utf-8"))
        if module == _REGISTRY and (chosen := self._detectors(tree)):
            tree.body = [node for node in tree.body if not _lists_detectors(node)]
            tree.body.append(ast.ImportFrom(None, [ast.alias(name) for name in sorted(chosen)], 1))
        return tree

    def _detectors(self, registry):
        """Modules of the detectors that are named."""
        files = self.file(_REGISTRY).parent.glob("*.py")
        names = {path.stem: _systems(ast.parse(path.read_text(encoding="utf-8"))) for path in files}
        found = {module for module, own in names.items() if own & self.named}
        return found | ({"dualad"} if _keys(registry, "STAGES") & self.named else set())

    def follow(self, tree, module, is_package):
        """Use everything that `tree`, standing in `module`, imports from the package, wherever the import stands."""
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    self._plain_import(tree, alias)
            elif isinstance(node, ast.ImportFrom):
                base = _base(node, module, is_package)
                if base and base.split(".")[0] == PACKAGE:
                    for alias in node.names:
                        self._use(base, alias.name)

    def _plain_import(self, tree, alias):
        if alias.name.split(".")[0] != PACKAGE:
            return
        if alias.name != PACKAGE:
            self._module(alias.name)
        bound, target = (alias.asname, alias.name) if alias.asname else (PACKAGE, PACKAGE)
        if target == PACKAGE:  # `import dualad_lib`, then dualad_lib.PCA: the names decide
            for node in ast.walk(tree):
                if (
                    isinstance(node, ast.Attribute)
                    and isinstance(node.value, ast.Name)
                    and node.value.id == bound
                ):
                    self._use(PACKAGE, node.attr)

    def _use(self, base, name):
        """Use `name` from module or package `base`: a submodule, a re-export's home, or `base` itself."""
        if self.file(f"{base}.{name}"):
            self._module(f"{base}.{name}")
            return
        path = self.file(base)
        if path is None or path.name != "__init__.py":
            self._module(base)
            return
        home = self._exports(base).get(name)
        if home and home[0] != base:
            self._use(*home)
        else:
            self._module(base)

    def _exports(self, package):
        """Name to (module, name there), for what a package's __init__ re-exports, eagerly or by its lazy map."""
        exports = {}
        for node in self.tree(package).body:
            if isinstance(node, ast.ImportFrom):
                base = _base(node, package, True)
                if base and base.split(".")[0] == PACKAGE:
                    exports |= {alias.asname or alias.name: (base, alias.name) for alias in node.names}
            elif isinstance(node, ast.Assign) and "_EXPORTS" in [
                getattr(t, "id", None) for t in node.targets
            ]:
                for name, place in ast.literal_eval(node.value).items():
                    exports[name] = (f"{package}.{place}", name)
        return exports

    def _module(self, module):
        """Use a whole module: its code, and all that it imports."""
        ignored = any(module == name or module.startswith(f"{name}.") for name in _IGNORED)
        if module in self.used or module == PACKAGE or (ignored and module not in _KEPT):
            return
        path = self.file(module)
        if path is None:
            return
        self.used.add(module)
        is_package = path.name == "__init__.py"
        self.follow(self.tree(module), module, is_package)
        if is_package:  # its own code may reach whatever it exports
            for base, name in self._exports(module).values():
                self._use(base, name)


def _systems(tree):
    """The names of the detectors that a file has: the first arguments of its `System(...)`."""
    return {
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", "") == "System"
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }


def _keys(tree, name):
    """The keys of the dictionary `name` of a module."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == name:
            return {key.value for key in node.value.keys if isinstance(key, ast.Constant)}
    return set()


def _lists_detectors(node):
    """Whether a statement of the registry names them all."""
    return (isinstance(node, ast.ImportFrom) and not node.module) or (
        isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "SYSTEMS"
    )


def _base(node, module, is_package):
    """The absolute module an `import from` names."""
    if node.level == 0:
        return node.module
    parts = module.split(".")
    parts = parts[: len(parts) - node.level + (1 if is_package else 0)]
    return ".".join([*parts, node.module] if node.module else parts)
