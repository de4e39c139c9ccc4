"""The library's rooms: no circle, no import from a room above, no other module's private name, and a true picture."""

import ast
from graphlib import CycleError, TopologicalSorter

import pytest
import rooms

KNOWN = rooms.modules()
IMPORTS = {name: list(rooms.imports(name, *tree, KNOWN)) for name, tree in KNOWN.items()}
#: May import inside functions: keeping torch and the course out of its start is what makes the command quick.
LAZY = {"dualad_lib.cli"}


def ancestors(module):
    parts = module.split(".")
    return {".".join(parts[:count]) for count in range(1, len(parts))}


def test_no_circle():
    """Importing a module runs its packages too, unless the importer already stands in them."""
    graph = {}
    for name, found in IMPORTS.items():
        own = ancestors(name) | {name}
        graph[name] = {m for module, _, _ in found for m in ancestors(module) | {module}} - own
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_rooms_import_from_rooms_below_alone():
    order = list(rooms.ROOMS)
    for name, below in rooms.edges().items():
        above = [other for other in below if order.index(other) > order.index(name)]
        assert not above, f"{name} imports from {above}, which stand above it"


def test_no_import_hides_in_a_function():
    """Heavy packages may be imported where they are used; a module of the library may not: it would hide a circle."""
    for name, found in IMPORTS.items():
        top = set(KNOWN[name][0].body)
        hidden = [module for module, _, node in found if node not in top and module != rooms.PACKAGE]
        assert name in LAZY or not hidden, f"{name} imports {hidden} inside a function"


def private(name):
    return name is not None and name.startswith("_") and not name.startswith("__")


def test_no_private_name_of_another_module():
    for name, found in IMPORTS.items():
        for module, member, _ in found:
            assert not private(member), f"{name} imports {member} from {module}"
            assert not any(private(part) for part in module.split(".")), f"{name} imports {module}"


def test_no_private_attribute_of_an_imported_thing():
    for name, (tree, _) in KNOWN.items():
        bound = {alias.asname or alias.name for _, _, node in IMPORTS[name] for alias in node.names}
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and private(node.attr):
                assert node.value.id not in bound, f"{name} uses {node.value.id}.{node.attr}"


def test_the_picture_in_contributing_is_drawn_from_the_imports():
    """Stale? `python tests/rooms.py`."""
    text = (rooms.ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert rooms.drawn(text) == text
    assert all(rooms.room(name) in {None, *rooms.ROOMS} for name in KNOWN)
