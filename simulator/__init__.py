"""What a chip and a reader are."""

__all__: list[str] = []
