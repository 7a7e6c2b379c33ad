"""Fixed records: a struct format beside a frozen dataclass, one struct item per field; the decoder refuses short and long."""

import struct
from collections.abc import Callable
from dataclasses import fields
from functools import cache
from operator import attrgetter
from typing import Any, ClassVar, Self

__all__ = ["MalformedRecord", "Record"]


class MalformedRecord(ValueError):
    """Bytes of the wrong length for a record, or a value that does not fit its field."""


class Record:
    """Base of the records. A subclass is a frozen, slotted dataclass whose fields are in the order of its FORMAT."""

    __slots__: ClassVar[tuple[str, ...]] = ()
    FORMAT: ClassVar[struct.Struct]

    def encode(self) -> bytes:
        """The record's bytes, big-endian. Raises MalformedRecord naming the field that does not fit."""
        try:
            return self.FORMAT.pack(*_fields_of(type(self))(self))  # type: ignore[arg-type]
        except struct.error:
            raise MalformedRecord(f"{type(self).__name__}: {self._misfit()}") from None

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """From exactly FORMAT.size bytes. Raises MalformedRecord."""
        if len(raw) != cls.FORMAT.size:
            raise MalformedRecord(f"{cls.__name__}: {cls.FORMAT.size} bytes expected, {len(raw)} came")
        return cls(*cls.FORMAT.unpack(raw))

    def _misfit(self) -> str:
        blank = list(self.FORMAT.unpack(bytes(self.FORMAT.size)))
        for index, field in enumerate(fields(self)):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            trial = [*blank[:index], value, *blank[index + 1 :]]
            try:
                self.FORMAT.pack(*trial)
            except struct.error as error:
                return f"{field.name}: {error}"
        raise AssertionError("every field fits")


@cache
def _fields_of(record: type[Record]) -> Callable[[Any], tuple[Any, ...]]:
    """Gets the values of all fields, in their order. Every record has two or more."""
    return attrgetter(*(field.name for field in fields(record)))  # type: ignore[arg-type]
