"""What the counter and the issuer do: dialogs, keys, readers, batches."""

__all__: list[str] = []
