"""Attacks, the classifier that is attacked, and detectors of attacks."""
