"""nbgrader's preprocessor for releasing assignments: stubs in place of solutions. Needs nbgrader."""

from nbgrader.preprocessors import NbGraderPreprocessor


class ShowStubs(NbGraderPreprocessor):
    """Put each cell's own stub, kept in its metadata, where its solution stands.

    nbgrader's ClearSolutions would write one text everywhere; an exercise keeps its signature, or its dictionary.
    """

    def preprocess_cell(self, cell, resources, cell_index):
        stub = cell.metadata.pop("dualad", {}).get("stub")
        if stub is not None:
            cell.source = stub
        return cell, resources
