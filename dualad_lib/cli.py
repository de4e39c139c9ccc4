"""The command `dualad`. A sub-command is one entry of COMMANDS: its name, its help, its options, what it does."""

import os
import sys
from functools import partial

from dualad_lib import arguments as takes
from dualad_lib.console import ends_on_interrupt, forgiving_streams, short_warnings
from dualad_lib.defaults import DEFAULT_DETECTOR, DEFAULT_FEATURES
from dualad_lib.errors import DualADError
from dualad_lib.files import check_places, expand, shown, writable
from dualad_lib.progress import say


def main(argv=None):
    """Run the command line; return the exit status: 0 good, 1 something failed or is stale, 2 wrong use.

    130 after Ctrl-C, 143 after SIGTERM.
    """
    forgiving_streams()
    stop = None
    try:
        with ends_on_interrupt() as stop:
            try:
                return _main(sys.argv[1:] if argv is None else argv)
            except Exception:  # what an interrupted import of a library written in C may raise instead
                if stop.status:
                    raise KeyboardInterrupt from None
                raise
    except KeyboardInterrupt:
        print("dualad: interrupted", file=sys.stderr)
        return getattr(stop, "status", 0) or 130


def _main(argv):
    parser = takes.Parser(prog="dualad", description="The DualAD course and its library.")
    parser.add_argument("--version", action="version", version=f"dualad {_version()}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary, options, action in COMMANDS:
        sub = commands.add_parser(name, help=summary, description=summary)
        options(sub)
        sub.set_defaults(action=action)
    arguments = parser.parse_args(takes.join_parameters(argv))
    try:
        with short_warnings():
            return arguments.action(arguments) or 0
    except BrokenPipeError as error:  # the reader, such as `head`, has seen enough
        if error.filename is not None:  # not that of standard output
            print(f"dualad: error: {_words(error)}", file=sys.stderr)
            return 2
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (DualADError, OSError, UnicodeError, MemoryError, RuntimeError) as error:
        words = _words(error)
        if words is None:
            raise
        print(f"dualad: error: {words}", file=sys.stderr)
        return 2


def _words(error):
    """What to tell the user of an error; None for one that only a fault of this library can cause."""
    if isinstance(error, DualADError):
        return str(error)
    if isinstance(error, OSError):
        where = "" if error.filename is None else f"{shown(error.filename)}: "
        return f"{where}{error.strerror or error}"
    if isinstance(error, UnicodeError):
        return f"a text cannot be read or written in its encoding: {error}"
    if isinstance(error, RecursionError):
        return "a file is nested too deeply to be read."
    if isinstance(error, MemoryError) or "allocate memory" in str(error) or "out of memory" in str(error):
        return f"not enough memory ({str(error).splitlines()[0] if str(error) else type(error).__name__})."
    return None


def _version():
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("dualad")
    except PackageNotFoundError:
        return "(not installed)"


def _run_options(parser):
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="lessons, e.g. 01 (default: the core course)"
    )
    parser.add_argument("--profile", choices=("smoke", "lesson", "paper"), default="lesson")
    parser.add_argument(
        "-p",
        dest="parameters",
        type=takes.parameter,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of the lessons, or NAME VALUE: a Python literal (3, 1e-3, True, None, [1, 2]), else text",
    )
    parser.add_argument(
        "--output",
        type=takes.place,
        metavar="DIR",
        help="where notebooks and metrics go (default: runs/PROFILE)",
    )
    parser.add_argument("--all", action="store_true", help="extra lessons too")
    parser.add_argument("--fresh", action="store_true", help="run again what is already done")


def _run(arguments):
    from dualad_lib.course.bands import summary
    from dualad_lib.course.runner import run

    parameters = dict(arguments.parameters)
    if len(parameters) < len(arguments.parameters):
        names = [name for name, _ in arguments.parameters]
        raise DualADError(
            f"-p sets {next(n for n in names if names.count(n) > 1)} more than once: set it once."
        )
    outcomes = run(
        arguments.names,
        arguments.profile,
        parameters,
        arguments.output,
        everything=arguments.all,
        fresh=arguments.fresh,
        say=say,
    )
    return _end(*summary(outcomes))


def _build_options(parser):
    parser.add_argument("names", nargs="*", metavar="NAME", help="lessons (default: all)")
    parser.add_argument(
        "--check", action="store_true", help="only list what is stale; status 1 if anything is"
    )
    parser.add_argument("--force", action="store_true", help="execute fresh ones too")


def _build(arguments):
    from dualad_lib.course import build
    from dualad_lib.course.bands import summary

    if arguments.check:
        stale = build.check(arguments.names)
        for lesson, reason in stale:
            print(f"{lesson.name}: {reason}")
        print(f"{len(stale)} stale" if stale else "all fresh")
        return 1 if stale else 0
    outcomes = build.build(arguments.names, arguments.force, say=say)
    text, passed = summary(outcomes)
    return _end(text, passed and not any(outcome.complaints for outcome in outcomes))


def _list_options(parser):
    pass


def _list(arguments):
    from dualad_lib.course.bands import table
    from dualad_lib.course.build import status
    from dualad_lib.course.manifest import load_course

    rows = [("lesson", "title", "part", "notebook")]
    for lesson in load_course().lessons:
        rows.append(
            (lesson.name, lesson.title, "core" if lesson.core else "extra", status(lesson)[0] or "fresh")
        )
    print(table(rows))


def _bands_options(parser):
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--seeds", type=takes.seed_count, default=5, help="how many, from 0 (default: 5)")
    parser.add_argument("--output", type=takes.place, metavar="CSV", help="also write the rows there")


def _bands(arguments):
    from dualad_lib.course.bands import measure_bands, number, table
    from dualad_lib.course.manifest import load_course

    told = partial(print, flush=True)  # without a file, lines are the product: no reader, no work
    if arguments.output is not None:
        course = load_course()
        sources = [(path, "a lesson") for one in course.lessons for path in (one.source, one.notebook)]
        manifest = (course.folder / "course.yml", "the course's manifest")
        check_places([(writable(arguments.output), "the table of bands")], [manifest, *sources])
        told = say
    rows = measure_bands(arguments.name, arguments.seeds, arguments.output, say=told)
    print()
    print(
        table(
            [
                tuple(rows[0]),
                *(tuple(v if isinstance(v, str) else number(v) for v in r.values()) for r in rows),
            ]
        )
    )
    print("\nFor course.yml:\nbands:")
    for row in rows:
        print(f"  {row['metric']}: [{row['low']:.4g}, {row['high']:.4g}]")


def _fit_options(parser):
    parser.add_argument(
        "--normal", required=True, type=takes.place, metavar="DIR", help="folder of normal images"
    )
    parser.add_argument(
        "--out", required=True, type=takes.place, metavar="FILE", help="model file, ends in .safetensors"
    )
    parser.add_argument(
        "--calibration",
        type=takes.place,
        metavar="DIR",
        help="further normal images that set the threshold (default: a tenth of the normal images is held back)",
    )
    parser.add_argument(
        "--by",
        metavar="REGEX",
        help="where several images show one part: what names the part in a file's path inside the folder, such as "
        "'part[0-9]+' or, in brackets, '([^/]+)_view'; all images of a part are then held back together "
        "(default: what file names, or images that are alike, tell clearly)",
    )
    parser.add_argument(
        "--detector",
        default=DEFAULT_DETECTOR,
        help=f"default: {DEFAULT_DETECTOR}; others: patchcore, padim, feature_neighbours, autoencoder, pca, knn, ...",
    )
    parser.add_argument(
        "--features",
        metavar="NAME",
        default="auto",
        help=f"of dualad: the frozen network that it sees through (default: {DEFAULT_FEATURES}, whose weights are "
        "installed; or any name of timm), or none: trained from scratch on pixels",
    )
    parser.add_argument(
        "--image-size",
        type=takes.image_side,
        metavar="PIXELS",
        help="longer side to which images are resized; the shorter one follows from the aspect ratio that most normal "
        "images have (default: 256 for detectors on pretrained features, 64 for others)",
    )
    parser.add_argument("--grey", action="store_true", help="read images in grey even where they have colour")
    parser.add_argument(
        "--rate", type=takes.rate, default=0.05, help="false-alarm rate of the threshold (default: 0.05)"
    )
    parser.add_argument(
        "--views",
        choices=("auto", "weak", "strong"),
        type=takes.views,
        help="how dualad varies the images in training: strong changes crop, side and colour, best for photographs of "
        "things; weak suits images where place, size or colour is what may be wrong "
        "(default: strong in colour, weak in grey)",
    )
    parser.add_argument(
        "--steps", type=takes.positive_int, help="optimiser steps, if not the detector's default"
    )
    parser.add_argument("--seed", type=takes.seed, default=0)
    parser.add_argument("--strict", action="store_true", help="an unreadable image is an error")


def _fit(arguments):
    from dualad_lib.folder import fit_folder

    parameters = {"false_alarm_rate": arguments.rate, "seed": arguments.seed}
    for name in ("steps", "views"):
        if getattr(arguments, name) is not None:
            parameters[name] = getattr(arguments, name)
    fit_folder(
        arguments.normal,
        arguments.out,
        arguments.detector,
        arguments.image_size,
        1 if arguments.grey else None,
        arguments.strict,
        parameters,
        arguments.calibration,
        arguments.by,
        arguments.features,
        say=say,
    )


def _score_options(parser):
    parser.add_argument(
        "--model", required=True, type=takes.place, metavar="FILE", help="what dualad fit wrote"
    )
    parser.add_argument(
        "--images", required=True, type=takes.place, metavar="DIR", help="folder of images to judge"
    )
    parser.add_argument("--out", required=True, type=takes.place, metavar="CSV", help="the ranked table")
    parser.add_argument(
        "--heatmaps", type=takes.place, metavar="DIR", help="also draw each image with what departs in it"
    )
    parser.add_argument(
        "--report",
        type=takes.place,
        metavar="HTML",
        help="also write one page that opens anywhere: images by score, heat maps, histogram and threshold",
    )
    parser.add_argument("--rate", type=takes.rate, help="false-alarm rate, if not the one of dualad fit")
    parser.add_argument("--strict", action="store_true", help="an unreadable image is an error")


def _score(arguments):
    from dualad_lib.folder import score_folder

    a = arguments
    score_folder(a.model, a.images, a.out, a.heatmaps, a.rate, a.strict, say=say, report=a.report)


def _export_options(parser):
    parser.add_argument(
        "--model", required=True, type=takes.place, metavar="FILE", help="what dualad fit wrote"
    )
    parser.add_argument("--onnx", required=True, type=takes.place, metavar="FILE", help="the ONNX file")


def _export(arguments):
    from dualad_lib.detectors import Detector
    from dualad_lib.folder.export import export_onnx

    path = writable(arguments.onnx)
    check_places([(path, "the ONNX file")], [(expand(arguments.model), "the model")])
    detector = Detector.load(arguments.model)
    outputs = export_onnx(detector, path)
    channels, height, width = detector.image_shape_
    say(
        f"{shown(path)}: takes images float32 (N, {channels}, {height}, {width}) in [0, 1], gives "
        f"{' and '.join(outputs)}."
    )


def _reproduce_options(parser):
    parser.add_argument("--datasets", nargs="+", metavar="NAME", help="default: those of the profile")
    parser.add_argument("--methods", nargs="+", metavar="NAME", help="default: all baselines and stages")
    parser.add_argument("--study", metavar="NAME", help="a study beside the main tables, such as lrgdan")
    parser.add_argument("--settings", nargs="+", metavar="SETTING", help="of a study (default: all of them)")
    parser.add_argument("--classes", nargs="+", type=takes.non_negative_int, metavar="K", help="default: all")
    parser.add_argument(
        "--seeds", type=takes.seed_count, default=1, metavar="N", help="how many, from 0 (default: 1)"
    )
    parser.add_argument("--profile", choices=("smoke", "paper"), default="paper")
    parser.add_argument(
        "--executor",
        choices=("papermill", "python"),
        default="papermill",
        help="papermill: each cell a run of notebook 08; python: a call, for machines without Jupyter",
    )
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", help="a running Dask scheduler, such as tcp://host:8786"
    )
    parser.add_argument(
        "--workers",
        type=takes.worker_count,
        metavar="N",
        help="local workers (default: one a GPU, or one a core)",
    )
    parser.add_argument(
        "--threads",
        type=takes.worker_count,
        default=1,
        metavar="N",
        help="cores of a local worker (default: 1)",
    )
    parser.add_argument("--output", type=takes.place, metavar="DIR", help="default: runs/reproduce-PROFILE")


def _reproduce(arguments):
    from dualad_lib.experiments.grid import grid, reproduce
    from dualad_lib.experiments.studies import study

    a = arguments
    if a.study:
        cells = study(a.study, a.datasets, a.methods, a.settings, a.classes, a.seeds, a.profile)
    else:
        if a.settings:
            raise DualADError("--settings are those of a study: name it with --study.")
        cells = grid(a.datasets, a.methods, a.classes, a.seeds, a.profile)
    output = a.output or os.path.join("runs", f"reproduce-{a.profile}")
    _, errors = reproduce(cells, output, a.executor, a.scheduler, a.workers, a.threads, say=say)
    return 1 if errors else 0


def _report_options(parser):
    parser.add_argument(
        "--results",
        type=takes.place,
        metavar="DIR",
        help="first take over the results files (*.csv) of a run from this folder",
    )


def _report(arguments):
    from dualad_lib.experiments.report import collect, report

    for path in collect(arguments.results) if arguments.results else ():
        print(f"took over {path.name}")
    print("tables of RESULTS.md and README drawn anew" if report() else "tables were up to date")


def _site_options(parser):
    parser.add_argument(
        "--output", type=takes.place, metavar="DIR", default="runs/site", help="default: runs/site"
    )
    parser.add_argument(
        "--without-try", action="store_true", help='without the page "Try it", whose runtime npm fetches once'
    )


def _site(arguments):
    from dualad_lib.course.site import build_site

    say(build_site(arguments.output, say=say, with_try=not arguments.without_try))


def _course_options(parser):
    actions = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    build = actions.add_parser("build", help="write the assignments: for nbgrader, students and instructors")
    build.add_argument("--output", type=takes.place, metavar="DIR", help="default: notebooks/assignments")
    build.add_argument("--secret", default="", help="a word that draws the hidden test images of the project")
    slides = actions.add_parser("slides", help="write slides of lessons, made from the committed notebooks")
    slides.add_argument(
        "names", nargs="*", metavar="NAME", help="lessons, e.g. 01 (default: the core course)"
    )
    slides.add_argument("--output", type=takes.place, metavar="DIR", help="default: runs/slides")
    slides.add_argument(
        "--reveal", metavar="ADDRESS", help="of a copy of reveal.js 4, for rooms without a network"
    )
    exam = actions.add_parser("exam", help="draw an exam, and its solutions, from the lessons' exercises")
    exam.add_argument("--points", type=int, default=30, help="of the whole exam (default: 30)")
    exam.add_argument("--seed", type=int, default=0, help="another seed, another exam (default: 0)")
    exam.add_argument("--output", type=takes.place, metavar="DIR", help="default: runs/exam")
    for name, summary in (
        ("validate", "find lost, duplicated or altered cells in a submission, and repair what can be"),
        ("grade", "validate submissions, run them with limits, and give points"),
    ):
        sub = actions.add_parser(name, help=summary)
        sub.add_argument("submissions", nargs="+", type=takes.place, metavar="SUBMISSION.ipynb")
        if name == "validate":
            sub.add_argument("--output", type=takes.place, metavar="DIR", help="write repaired copies there")
        else:
            sub.add_argument("--output", type=takes.place, metavar="CSV", help="also write the grades there")
            sub.add_argument("--secret", default="", help="the word that was given to build")
            sub.add_argument(
                "--seconds", type=takes.seconds, default=30, help="limit of a cell (default: 30)"
            )
            sub.add_argument(
                "--memory", type=takes.megabytes, default=1024, metavar="MB", help="limit (default: 1024)"
            )


def _course(arguments):
    from dualad_lib.teaching import desk, questions, slides

    if arguments.what != "grade":
        _check_folder(arguments.output)
    if arguments.what == "slides":
        slides.write_slides(arguments.names, arguments.output, say=say)
        return 0
    if arguments.what == "exam":
        questions.write_exam(arguments.points, arguments.seed, arguments.output, say=say)
        return 0
    if arguments.what == "build":
        return desk.build(arguments.output, arguments.secret, say)
    if arguments.what == "validate":
        return desk.validate_all(arguments.submissions, arguments.output, say)
    a = arguments
    if a.output is not None:
        submissions = [(path, "a submission") for path in a.submissions]
        check_places([(writable(a.output), "the table of grades")], submissions)
    return desk.grade_all(a.submissions, a.output, a.seconds, a.memory, a.secret, say)


def _check_folder(path):
    """Raise DualADError where no file can be written into a folder (None: the default one): asked before the work."""
    try:
        if path is not None:
            writable(os.path.join(path, "file"))
    except DualADError:
        raise DualADError(f"no file can be written into {shown(path)}: name a folder.") from None


def _end(text, passed):
    say(f"\n{text}")
    return 0 if passed else 1


COMMANDS = [
    ("run", "Run lessons strictly; end with a table of their metrics.", _run_options, _run),
    ("build", "Bring the committed notebooks up to date, or check that they are.", _build_options, _build),
    ("list", "List the course.", _list_options, _list),
    ("fit", "Train a detector on a folder of normal images.", _fit_options, _fit),
    ("score", "Score a folder of images; write a ranked table.", _score_options, _score),
    ("export", "Write a fitted detector as an ONNX file.", _export_options, _export),
    (
        "reproduce",
        "Measure the tables: every method on every class, resumable.",
        _reproduce_options,
        _reproduce,
    ),
    (
        "report",
        "Draw the tables of RESULTS.md and README from the committed results.",
        _report_options,
        _report,
    ),
    ("site", "Build the reading site from the committed notebooks and results.", _site_options, _site),
    ("course", "Assignments, slides and exams; validate and grade submissions.", _course_options, _course),
    ("bands", "Measure a lesson's metrics over seeds and propose tolerance bands.", _bands_options, _bands),
]

if __name__ == "__main__":
    sys.exit(main())
