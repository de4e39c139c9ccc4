"""The rooms of the library, lowest first; `python tests/rooms.py` draws them in CONTRIBUTING.md."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "dualad_lib"
#: Room -> what it holds. A module imports from its own room and from those above it in this list, which stand below it.
ROOMS = {
    "ground": "one pure function an equation (`losses`, `transforms`, `evaluation`, `neighbours`), and what all "
    "rooms need (`errors`, `files`, `progress`, `console`, `arguments`, `defaults`)",
    "networks": "nn.Modules only, one idea a file",
    "data": "`task` and its splits, `registry` from a name to its reader, `readers/` one file a set, image files",
    "scoring": "scores of images, their fusion, thresholds, p-values",
    "training": "the loop: players, seeds, device, precision, checkpoints",
    "detectors": "one file a system over one base class, and the registry that all others read",
    "adversarial": "attacks, the classifier that is attacked, detectors of attacks",
    "plots": "figures, colour-blind safe, with alternative text",
    "folder": "the practitioner's path: fit, score, report, export",
    "course": "manifest, strict runner, parameters, provenance, build, bands, site, environment",
    "experiments": "settings, studies, the grid and its cells, results files, tables",
    "teaching": "exercises, `checks/` one file a lesson, assignments, submissions, grading",
    "cli": "the command `dualad`",
}
GROUND = (
    "arguments", "console", "defaults", "defects", "errors", "evaluation", "files", "losses", "muon", "neighbours",
    "progress", "transforms",
)  # fmt: skip
OF = {**dict.fromkeys(GROUND, "ground"), "plots_parts": "plots", "runs": "cli"}  # runs: kept for one release
START, END = "<!-- rooms -->", "<!-- /rooms -->"


def modules():
    """Module name -> (its syntax tree, whether it is a package)."""
    found = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        package = parts[-1] == "__init__"
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found[".".join(parts[:-1] if package else parts)] = tree, package
    return found


def imports(name, tree, package, known):
    """Yield (module, name there or None, statement) of each import from the library, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            parts = name.split(".")
            parts = parts[: len(parts) - node.level + package] if node.level else []
            base = ".".join([*parts, node.module] if node.module else parts)
            for alias in node.names if base.split(".")[0] == PACKAGE else ():
                inner = f"{base}.{alias.name}"
                yield (inner, None, node) if inner in known else (base, alias.name, node)
        elif isinstance(node, ast.Import):
            yield from ((a.name, None, node) for a in node.names if a.name.split(".")[0] == PACKAGE)


def room(module):
    """The room of a module; None for the package itself, which imports by name alone."""
    parts = module.split(".")
    return OF.get(parts[1], parts[1]) if len(parts) > 1 else None


def edges():
    """Room -> the other rooms that its modules import from."""
    known, found = modules(), {name: set() for name in ROOMS}
    for name, (tree, package) in known.items():
        targets = {room(module) for module, _, _ in imports(name, tree, package, known)}
        if room(name):
            found[room(name)] |= targets - {None, room(name)}
    return found


def picture():
    """What stands between the markers: a graph, an arrow where no way through other rooms leads, and the rooms."""
    direct = edges()
    below = {}  # what a room reaches at all
    for name in ROOMS:
        below[name] = direct[name].union(*(below[other] for other in direct[name]))
    lines = ["```mermaid", "graph TD"]
    for name in reversed(ROOMS):
        short = direct[name] - set().union(*(below[other] for other in direct[name]))
        lines += [f"    {name} --> {other}" for other in ROOMS if other in short]
    lines += ["```", "", "| room | holds |", "|---|---|"]
    return "\n".join([*lines, *(f"| `{name}` | {text} |" for name, text in ROOMS.items())])


def drawn(text):
    """The text of CONTRIBUTING.md with the picture drawn anew."""
    before, rest = text.split(START)
    return f"{before}{START}\n{picture()}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    page = ROOT / "CONTRIBUTING.md"
    page.write_text(drawn(page.read_text(encoding="utf-8")), encoding="utf-8")
