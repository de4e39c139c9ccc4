"""Numbers in prose: `{{ auroc_pixel | pct }}` in a source becomes the run's own value."""

import ast
import operator
import re

from dualad_lib.errors import RunError

FILTERS = {
    "pct": lambda value: f"{100 * value:.1f}",
    "pct0": lambda value: f"{100 * value:.0f}",
    "f1": lambda value: f"{value:.1f}",
    "f2": lambda value: f"{value:.2f}",
    "f3": lambda value: f"{value:.3f}",
    "f4": lambda value: f"{value:.4f}",
    "int": lambda value: f"{value:.0f}",
}
_PLACEHOLDER = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_ARITHMETIC = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def render(text, values):
    """Fill every `{{ expression | filter }}` of `text` from `values` (names to numbers, texts or None).

    An expression is made of names, numbers, + - * / and brackets. `pct` is percent with one decimal, without
    the percent sign; a number that is not whole needs a filter; None (not measured) reads "n/a".

    Raises RunError naming the placeholder and what is wrong with it.
    """

    def fill(match):
        inside = match.group(1).strip()
        try:
            return _fill(inside, values)
        except (RunError, SyntaxError, TypeError, ValueError, ArithmeticError) as error:
            reason = "not an expression" if isinstance(error, SyntaxError) else error
            raise RunError(f"placeholder {{{{ {inside} }}}}: {reason}") from error

    return _PLACEHOLDER.sub(fill, text)


def render_notebook(nb, values):
    """Fill the placeholders of a notebook's markdown cells in place; raises RunError naming the cell."""
    for number, cell in enumerate(nb.cells, start=1):
        if cell.cell_type == "markdown":
            try:
                cell.source = render(cell.source, values)
            except RunError as error:
                raise RunError(f"markdown in cell {number}: {error}") from error
    return nb


def _fill(inside, values):
    expression, bar, name = inside.partition("|")
    name = name.strip()
    if bar and name not in FILTERS:
        raise RunError(f"unknown filter {name!r}; known: {', '.join(FILTERS)}")
    tree = ast.parse(expression.strip(), mode="eval").body
    if not any(isinstance(node, ast.Name) for node in ast.walk(tree)):
        raise RunError("it names no metric (in formulas write single braces, or a space between two)")
    value = _value(tree, values)
    if value is None:
        return "n/a"
    if not bar:
        if isinstance(value, float):
            raise RunError(f"a number needs a filter: {', '.join(FILTERS)}")
        return str(value)
    text = FILTERS[name](value)
    return text.removeprefix("-") if float(text) == 0 else text


def _value(node, values):
    if isinstance(node, ast.Name):
        if node.id not in values:
            raise RunError(f"unknown metric {node.id!r}; known: {', '.join(sorted(values)) or 'none'}")
        return values[node.id]
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _value(node.operand, values)
        return None if value is None else -value
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        left, right = _value(node.left, values), _value(node.right, values)
        return None if left is None or right is None else _ARITHMETIC[type(node.op)](left, right)
    raise RunError("only names, numbers, + - * / and brackets may stand here")
