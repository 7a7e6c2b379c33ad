"""What the card is: an executable model that gives the same bytes as the Java Card applet."""

__all__: list[str] = []
