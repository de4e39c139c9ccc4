"""The course as a lecturer needs it: exercises read from the lessons, assignments built, submissions checked."""
