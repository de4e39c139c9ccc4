"""The strict check of a notebook's parameters, read from its syntax and not by running it."""

import ast
import math

from dualad_lib.course.manifest import did_you_mean
from dualad_lib.course.notebook import cell_tree
from dualad_lib.errors import RunError


def declared(nb):
    """Name, default and whether None is allowed, for each parameter of a notebook's parameters cell.

    Only literals may stand there: a derived value would keep its default when its ingredients are overridden.
    Raises RunError for anything else, for a name given twice, and for more than one parameters cell.
    """
    found, _ = _split(nb)
    parameters = {}
    for node in [] if found is None else cell_tree(found).body:
        name, value, optional = _assignment(node)
        if name in parameters:
            raise RunError(f"the parameters cell sets {name} twice")
        try:
            parameters[name] = (ast.literal_eval(value), optional)
        except ValueError as error:
            raise RunError(
                f"the parameters cell derives {name} = {ast.unparse(value)}; only literals may stand there, "
                "compute derived values in the next cell"
            ) from error
    return parameters


def check(nb, overrides):
    """Check the notebook and the overrides; return (every parameter's value, the overrides fitted to the defaults).

    Raises RunError for a parameter that is unknown, that no later cell reads, that a later cell assigns again,
    or whose new value does not fit the type of its default (an int fits a float; any value fits None).
    """
    parameters = declared(nb)
    for name in overrides:
        if name not in parameters:
            known = ", ".join(parameters) or "none"
            raise RunError(
                f"unknown parameter {name!r}{did_you_mean(name, list(parameters))}; known: {known}"
            )
    read, assigned = set(), set()
    for cell in _split(nb)[1]:
        names = Names().of(cell_tree(cell))
        read |= names.read
        assigned |= names.bound
    for name in parameters:
        if name in assigned:
            raise RunError(
                f"parameter {name!r} is overwritten: a cell after the parameters cell assigns it again"
            )
        if name not in read:
            raise RunError(f"parameter {name!r} is unused: no cell after the parameters cell reads it")
    fitted = {name: _fit(name, value, *parameters[name]) for name, value in overrides.items()}
    for name, value in fitted.items():
        _check_plain(name, value)
    return {name: default for name, (default, _) in parameters.items()} | fitted, fitted


def from_text(nb, texts):
    """Values written on a command line: Python literals, else text; kept as text where the default is text.

    Nothing is guessed: 010, 12:30, no and 2026-01-01 are texts, as Python reads them as nothing else. None is None also
    for a text that may be missing.
    """
    parameters = declared(nb)

    def value(name, text):
        default, optional = parameters.get(name, (None, False))
        if isinstance(default, str) and not (optional and text == "None"):
            return text
        try:
            value = ast.literal_eval(text)
            repr(value)  # not of an integer of thousands of digits
        except (
            ValueError,
            SyntaxError,
            TypeError,
            MemoryError,
            RecursionError,
        ):  # of sets of lists, deep nesting
            return text
        return value

    return {name: value(name, text) for name, text in texts.items()}


def _split(nb):
    """The parameters cell (or None) and the code cells after it."""
    code = [cell for cell in nb.cells if cell.cell_type == "code"]
    places = [i for i, cell in enumerate(code) if "parameters" in cell.metadata.get("tags", ())]
    if len(places) > 1:
        raise RunError(f"{len(places)} cells are tagged parameters; one is allowed")
    return (code[places[0]], code[places[0] + 1 :]) if places else (None, code)


def _assignment(node):
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id, node.value, False
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
        kind = ast.unparse(node.annotation)
        return node.target.id, node.value, "None" in kind or "Optional" in kind
    raise RunError(
        f"the parameters cell may only set names to literals; it has: {ast.unparse(node).splitlines()[0]}"
    )


def _fit(name, value, default, optional):
    if value is None and (default is None or optional):
        return None
    if not _fits(value, default):
        wanted = type(default).__name__
        hint = "; write a text, or a number as Python does" if isinstance(value, str) else ""
        hint = "; write True or False" if isinstance(default, bool) else hint
        raise RunError(f"parameter {name!r} is {wanted} (default {default!r}); {value!r} does not fit{hint}")
    if isinstance(default, float):
        try:
            return float(value)
        except OverflowError:
            raise RunError(f"parameter {name!r} is too large for a float") from None
    return (
        list(value) if isinstance(default, (list, tuple)) else value
    )  # papermill would write a tuple as text


def _check_plain(name, value):
    """Raise RunError for a value that would not reach the notebook, and its metrics file, as it is.

    papermill writes a tuple or a set as text, and JSON has neither nan nor infinity.
    """
    if value is None or isinstance(value, (bool, int)):
        return
    if isinstance(value, float):
        if not math.isfinite(value):
            raise RunError(f"parameter {name!r} must be finite, not {value}")
    elif isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeError:
            raise RunError(f"parameter {name!r} is no text in UTF-8: {value!r}") from None
    elif isinstance(value, list):
        for item in value:
            _check_plain(name, item)
    elif isinstance(value, dict) and all(isinstance(key, str) for key in value):
        for item in (*value, *value.values()):
            _check_plain(name, item)
    else:
        raise RunError(
            f"parameter {name!r} cannot be {value!r}: take a number, a text, True, False, None, or a list or "
            "dict of these"
        )


def _fits(value, default):
    if default is None:
        return True
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if isinstance(default, float):
        return isinstance(value, (int, float))
    if isinstance(default, (list, tuple)):
        same = len({type(item) for item in default}) == 1
        return isinstance(value, (list, tuple)) and (
            not same or all(_fits(item, default[0]) for item in value)
        )
    return isinstance(value, type(default))


class Names(ast.NodeVisitor):
    """The module-level names that a piece of code reads and binds, functions and comprehensions looked through."""

    def __init__(self):
        self.read, self.bound, self.outer = set(), set(), set()

    def of(self, *nodes):
        for node in nodes:
            self.visit(node)
        return self

    def _inner(self, nodes, local=()):
        """Code with a scope of its own: what is not local there comes from here."""
        inner = Names().of(*nodes)
        inner.bound |= set(local)
        self.read |= inner.read - (inner.bound - inner.outer)
        self.bound |= inner.bound & inner.outer

    def visit_Name(self, node):
        (self.read if isinstance(node.ctx, ast.Load) else self.bound).add(node.id)

    def visit_AugAssign(self, node):
        self.generic_visit(node)
        if isinstance(node.target, ast.Name):
            self.read.add(node.target.id)

    def visit_Global(self, node):
        self.outer |= set(node.names)

    visit_Nonlocal = visit_Global

    def visit_alias(self, node):
        self.bound.add(node.asname or node.name.split(".")[0])

    def visit_ExceptHandler(self, node):
        self.bound |= {node.name} - {None}
        self.generic_visit(node)

    def visit_MatchAs(self, node):
        self.bound |= {node.name} - {None}
        self.generic_visit(node)

    visit_MatchStar = visit_MatchAs

    def visit_MatchMapping(self, node):
        self.bound |= {node.rest} - {None}
        self.generic_visit(node)

    def visit_FunctionDef(self, node):
        self.bound.add(node.name)
        self.of(*node.decorator_list)
        self._function(node.args, node.body)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node):
        self._function(node.args, [node.body])

    def _function(self, args, body):
        self.of(*args.defaults, *filter(None, args.kw_defaults))
        every = [*args.posonlyargs, *args.args, *args.kwonlyargs, *filter(None, (args.vararg, args.kwarg))]
        self._inner(body, [arg.arg for arg in every])

    def visit_ClassDef(self, node):
        self.bound.add(node.name)
        self.of(*node.decorator_list, *node.bases, *(keyword.value for keyword in node.keywords))
        # A class body reads before it binds, and its names are not seen by its methods: count every read.
        inner = Names().of(*node.body)
        self.read |= inner.read
        self.bound |= inner.bound & inner.outer

    def visit_ListComp(self, node):
        walrus = {n.target.id for n in ast.walk(node) if isinstance(n, ast.NamedExpr)}  # binds outside
        self.bound |= walrus
        self.visit(node.generators[0].iter)
        inside = [child for child in ast.iter_child_nodes(node)]
        self._inner(inside)

    visit_SetComp = visit_DictComp = visit_GeneratorExp = visit_ListComp
