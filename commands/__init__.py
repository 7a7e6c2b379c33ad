"""The commands of the program joren, one module each."""

__all__: list[str] = []
