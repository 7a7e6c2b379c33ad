"""A purchase log through the card's own arithmetic."""

__all__: list[str] = []
