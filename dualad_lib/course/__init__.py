"""Running the course: its manifest, the strict notebook runner, metrics and their bands, provenance, the site."""

from .recording import record

__all__ = ["record"]
