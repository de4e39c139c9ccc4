"""nbgrader's settings for the folder that `dualad course build` wrote. Change course_id to your own."""

c = get_config()  # noqa: F821 (nbgrader defines it)
c.CourseDirectory.course_id = "dualad"
c.CourseDirectory.release_directory = "student"
c.GenerateAssignment.preprocessors = [
    "nbgrader.preprocessors.IncludeHeaderFooter",
    "nbgrader.preprocessors.LockCells",
    "dualad_lib.teaching.stubs.ShowStubs",  # in place of ClearSolutions: keeps signatures and dictionaries
    "nbgrader.preprocessors.ClearOutput",
    "nbgrader.preprocessors.CheckCellMetadata",
    "nbgrader.preprocessors.ComputeChecksums",
    "nbgrader.preprocessors.SaveCells",
    "nbgrader.preprocessors.ClearHiddenTests",
    "nbgrader.preprocessors.ComputeChecksums",
    "nbgrader.preprocessors.CheckCellMetadata",
]
c.ExecutePreprocessor.timeout = 60  # seconds a cell
c.ExecutePreprocessor.interrupt_on_timeout = True
