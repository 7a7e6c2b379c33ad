"""What a Java Card applet may not do, found in its class files, as `javap -p -c -s -l -constants` prints them.

How it works. Every method is run on values that stand for many: of a number it is known whether its bits above the 16th may differ from
those that a card has (wide), of an array or key where it lies: in persistent memory, in RAM, in the session in RAM, in a static field.
Calls hand their arguments on, fields what was put into them, until nothing new is found; then the rules are asked of every instruction. A
branch that cannot be taken is run like any other, so what is found may be harmless; what is not found is not there.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["API", "Finding", "lint", "parse"]

PERSISTENT, RAM, SESSION, STATIC = "persistent memory", "RAM", "the session", "a static field"
Origins = frozenset[str]
NOWHERE: Origins = frozenset()
ENTRIES = {"process", "select", "deselect"}
FORBIDDEN_TYPES = re.compile(r"[IJFDC]|Ljava/lang/String;")
ALLOCATES = {"new", "newarray", "anewarray"}
ALLOCATING_CALLS = {"getInstance", "buildKey", "makeTransientByteArray", "makeTransientShortArray", "makeTransientBooleanArray"}
NARROW = {"i2s", "i2b"}
WIDENS = {"iadd", "isub", "imul", "ishl", "ineg", "iushr"}
EXACT = {"ishr", "iushr", "idiv", "irem"}
OTHER_LANGUAGE = re.compile(r"[lfd](add|sub|mul|div|rem|neg|shl|shr|ushr|and|or|xor|load|store|const|return|aload|astore|cmp[lg]?)(_\d)?$")
OTHER_OPCODES = {"i2l", "i2f", "i2d", "i2c", "iaload", "iastore", "caload", "castore", "multianewarray", "invokedynamic", "monitorenter"}
OUTPUTS = {
    "javacard/security/Signature.sign": 3,
    "javacard/security/RandomData.generateData": 0,
    "javacardx/crypto/Cipher.doFinal": 3,
    "javacardx/crypto/Cipher.update": 3,
    "javacard/framework/AID.getBytes": 0,
}
"""Calls that write into an array otherwise than the applet's own stores do, and which argument that is."""
NOT_ATOMIC = {"javacard/framework/Util.arrayCopyNonAtomic": 2, "javacard/framework/Util.arrayFillNonAtomic": 0}
COPIES = {"javacard/framework/Util.arrayCopy": 2, "javacard/framework/Util.setShort": 0}
BUFFERS = {"javacard/framework/APDU.getBuffer"}
API = {
    "java/lang/Object": {"<init>"},
    "javacard/framework/Applet": {"<init>", "register", "selectingApplet"},
    "javacard/framework/APDU": {
        "getBuffer", "getCurrentState", "getProtocol", "getIncomingLength", "receiveBytes", "sendBytes", "setIncomingAndReceive",
        "setOutgoing", "setOutgoingLength",
    },
    "javacard/framework/AID": {"getBytes"},
    "javacard/framework/ISOException": {"getReason", "throwIt"},
    "javacard/framework/JCSystem": {
        "beginTransaction", "commitTransaction", "abortTransaction", "getAID", "makeTransientByteArray", "makeTransientShortArray",
    },
    "javacard/framework/Util": {
        "arrayCompare", "arrayCopy", "arrayCopyNonAtomic", "arrayFillNonAtomic", "getShort", "makeShort", "setShort",
    },
    "javacard/security/AESKey": {"clearKey", "setKey"},
    "javacard/security/KeyBuilder": {"buildKey"},
    "javacard/security/RandomData": {"getInstance", "generateData"},
    "javacard/security/Signature": {"getInstance", "init", "update", "sign"},
    "javacardx/crypto/Cipher": {"getInstance", "init", "update", "doFinal"},
    "org/globalplatform/GPSystem": {"getSecureChannel"},
    "org/globalplatform/SecureChannel": {
        "processSecurity", "wrap", "unwrap", "decryptData", "resetSecurity", "getSecurityLevel",
    },
}  # fmt: skip
"""What the applet calls of Java Card 3.0.4 and of GlobalPlatform's API; nothing newer is among it."""
SETS_KEYS = "CardKey"
"""The one class that loads key objects in persistent memory: it makes up for cards where that takes part in no transaction."""
TYPE_AES = 15


@dataclass(frozen=True, slots=True)
class Finding:
    """Where, and what is wrong there."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(frozen=True, slots=True)
class Instruction:
    """One line of javap: `operand` is what stands between opcode and comment."""

    opcode: str
    operand: str
    comment: str


@dataclass(frozen=True, slots=True)
class Field:
    descriptor: str
    modifiers: frozenset[str]


@dataclass(slots=True)
class Method:
    """A method, with its instructions by their place, and what calls hand to it."""

    owner: str
    name: str
    descriptor: str
    static: bool
    code: dict[int, Instruction] = field(default_factory=dict)
    handlers: list[tuple[int, int, int]] = field(default_factory=list)
    local_types: set[str] = field(default_factory=set)

    @property
    def label(self) -> str:
        return f"{self.owner}.{self.name}"


@dataclass(slots=True)
class Klass:
    name: str
    parents: list[str]
    fields: dict[str, Field] = field(default_factory=dict)
    methods: list[Method] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Value:
    """A number or a reference: whether it may be wider than a card has it, a constant's value, where an array or key lies."""

    wide: bool = False
    constant: int | None = None
    origins: Origins = NOWHERE

    def joined(self, other: "Value") -> "Value":
        constant = self.constant if self.constant == other.constant else None
        return Value(self.wide or other.wide, constant, self.origins | other.origins)


@dataclass(frozen=True, slots=True)
class Frame:
    """Stack, locals, and whether a transaction may be open, as known before an instruction."""

    stack: tuple[Value, ...]
    slots: tuple[Value, ...]
    open: frozenset[bool]

    def joined(self, other: "Frame") -> "Frame":
        stack = tuple(a.joined(b) for a, b in zip(self.stack, other.stack, strict=True))
        return Frame(stack, tuple(a.joined(b) for a, b in zip(self.slots, other.slots, strict=True)), self.open | other.open)


HEAD = re.compile(r"^(?:[\w ]+ )?(?:class|interface) ([\w.$]+)(?: extends ([\w.$, ]+?))?(?: implements ([\w.$, ]+?))? \{$")
INSTRUCTION = re.compile(r"^ +(\d+): (\w+)(?: +([^/]*?))?(?: *// (.*))?$")
HANDLER = re.compile(r"^ +(\d+) +(\d+) +(\d+) +\S")
CASE = re.compile(r"^ +(-?\d+|default): (\d+)$")
CALLED = re.compile(r'^(?:Interface)?Method (?:([\w/$]+)\.)?"?([\w<>$]+)"?:(\(.*\).+)$')
USED = re.compile(r"^Field (?:([\w/$]+)\.)?([\w$]+):(.+)$")


def parse(printed: str) -> list[Klass]:
    """The classes that javap printed."""
    classes: list[Klass] = []
    section = ""
    declaration = ""
    for line in printed.splitlines():
        if head := HEAD.match(line):
            parents = re.split(r", ?", ", ".join(filter(None, head.groups()[1:])))
            classes.append(Klass(_plain(head[1]), [_plain(parent) for parent in parents if parent]))
        elif line.startswith("  ") and not line.startswith("   ") and line.endswith(";"):
            declaration, section = line.strip(" ;"), ""
        elif line.strip() == "static {};":
            declaration, section = "static <clinit>()", ""
        elif line.startswith("    descriptor: "):
            _declare(classes[-1], declaration, line.split(": ", 1)[1])
        elif line.startswith("    ") and line.rstrip().endswith(":") and not line.lstrip()[0].isdigit():
            section = line.strip(" :")
        elif section:
            _line(classes[-1].methods[-1], section, line)
    return classes


def _plain(name: str) -> str:
    return name.removeprefix("joren.").replace(".", "/")


def _declare(owner: Klass, declaration: str, descriptor: str) -> None:
    words = declaration.split("(", maxsplit=1)[0].split(" = ", maxsplit=1)[0].split()
    if descriptor.startswith("("):
        name = "<init>" if _plain(words[-1]) == owner.name else words[-1]
        name = "<clinit>" if declaration.startswith("static {}") else name
        owner.methods.append(Method(owner.name, name, descriptor, "static" in words[:-1] or name == "<clinit>"))
    else:
        owner.fields[words[-1]] = Field(descriptor, frozenset(words[:-2]))


def _line(method: Method, section: str, line: str) -> None:
    if section == "Code" and (case := CASE.match(line)):
        place = max(method.code)
        switch = method.code[place]
        method.code[place] = Instruction(switch.opcode, f"{switch.operand} {case[2]}", "")
    elif section == "Code" and (found := INSTRUCTION.match(line)):
        operand = (found[3] or "").strip(" {")
        method.code[int(found[1])] = Instruction(found[2], "" if "switch" in found[2] else operand, found[4] or "")
    elif section == "Exception table" and (handler := HANDLER.match(line)):
        method.handlers.append((int(handler[1]), int(handler[2]), int(handler[3])))
    elif section == "LocalVariableTable" and line.strip()[:1].isdigit():
        method.local_types.add(line.rsplit(maxsplit=1)[-1])


def arguments(descriptor: str) -> list[str]:
    """The types of a method's parameters."""
    return re.findall(r"\[*(?:L[^;]+;|[A-Z])", descriptor[1 : descriptor.index(")")])


class Reading:
    """The classes of a package, and what is known of their fields and calls so far."""

    def __init__(self, classes: list[Klass]) -> None:
        self.classes = {klass.name: klass for klass in classes}
        self.methods = [method for klass in classes for method in klass.methods]
        self.fields: dict[tuple[str, str], Origins] = {}
        self.entries: dict[int, Frame] = {}
        self.returns: dict[int, Origins] = {}
        self.reached: set[int] = set()
        self.findings: set[Finding] = set()
        self.changed = True

    def run(self) -> set[Finding]:
        """Reads on until nothing new is found."""
        for method in self.methods:
            if method.name in ENTRIES | {"install", "<clinit>"}:
                origins = frozenset({RAM})
                given = tuple(Value(origins=origins if kind.startswith("[") else NOWHERE) for kind in self._received(method))
                self._hand(method, given, frozenset({False}))
        while self.changed:
            self.changed = False
            self.findings.clear()
            for method in self.methods:
                if id(method) in self.entries and method.code:
                    Run(self, method).all()
        return self.findings

    def _received(self, method: Method) -> list[str]:
        return ([] if method.static else ["L;"]) + arguments(method.descriptor)

    def targets(self, owner: str, name: str, descriptor: str) -> list[Method]:
        """Every method that a call may reach: of the class, what it inherits, and what overrides it."""
        found = [m for m in self.methods if m.name == name and m.descriptor == descriptor]
        if name == "<init>":
            return [method for method in found if method.owner == owner]
        return [method for method in found if self._related(method.owner, owner) or self._related(owner, method.owner)]

    def _related(self, child: str, parent: str) -> bool:
        return child == parent or (child in self.classes and any(self._related(one, parent) for one in self.classes[child].parents))

    def _hand(self, method: Method, given: tuple[Value, ...], is_open: frozenset[bool]) -> None:
        frame = Frame((), tuple(Value(origins=value.origins) for value in given), is_open)
        known = self.entries.get(id(method))
        joined = frame if known is None else known.joined(frame)
        if joined != known:
            self.entries[id(method)] = joined
            self.changed = True

    def call(self, targets: list[Method], given: tuple[Value, ...], is_open: frozenset[bool]) -> Origins:
        """Hands the arguments on; the origins of what comes back."""
        for method in targets:
            self._hand(method, given, is_open)
        return frozenset().union(*(self.returns.get(id(method), NOWHERE) for method in targets))

    def returned(self, method: Method, origins: Origins) -> None:
        """What a method returns."""
        if not origins <= self.returns.get(id(method), NOWHERE):
            self.returns[id(method)] = self.returns.get(id(method), NOWHERE) | origins
            self.changed = True

    def put(self, owner: str, name: str, origins: Origins) -> None:
        """What is put into a field."""
        known = self.fields.get((owner, name), NOWHERE)
        if not origins <= known:
            self.fields[owner, name] = known | origins
            self.changed = True

    def get(self, owner: str, name: str) -> Origins:
        """Where the array in a field comes from."""
        if name == "session":
            return frozenset({SESSION})
        return self.fields.get((owner, name), NOWHERE)

    def at_work(self) -> Iterator[Method]:
        """The methods that a command may reach."""
        waiting = [method for method in self.methods if method.name in ENTRIES]
        seen: set[int] = set()
        while waiting:
            method = waiting.pop()
            if id(method) in seen:
                continue
            seen.add(id(method))
            yield method
            for instruction in method.code.values():
                if called := CALLED.match(instruction.comment):
                    waiting += self.targets(_plain((called[1] or method.owner).replace("/", ".")), called[2], called[3])


class Run:
    """One method, run once on what is known."""

    def __init__(self, reading: Reading, method: Method) -> None:
        self.reading = reading
        self.method = method
        self.places = sorted(method.code)
        entry = reading.entries[id(method)]
        slots = list(entry.slots) + [Value()] * 32
        self.entry_open = entry.open
        self.frames: dict[int, Frame] = {0: Frame((), tuple(slots), entry.open)}
        self.waiting = [0]

    def all(self) -> None:
        """Every instruction that can be reached, until no frame changes."""
        while self.waiting:
            place = self.waiting.pop()
            frame = self.frames[place]
            for start, end, handler in self.method.handlers:
                if start <= place < end:
                    self._flow(handler, Frame((Value(),), frame.slots, frame.open))
            Step(self, self.method.code[place], frame).go(place)

    def _flow(self, place: int, frame: Frame) -> None:
        known = self.frames.get(place)
        joined = frame if known is None else known.joined(frame)
        if joined != known:
            self.frames[place] = joined
            self.waiting.append(place)

    def on(self, place: int, frame: Frame) -> None:
        """Goes on with the instruction after this one."""
        after = self.places[self.places.index(place) + 1 :]
        if after:
            self._flow(after[0], frame)

    def jump(self, place: int, frame: Frame) -> None:
        """Goes on elsewhere."""
        self._flow(place, frame)

    def find(self, what: str) -> None:
        """A rule is broken."""
        self.reading.findings.add(Finding(self.method.label, what))


class Step:
    """One instruction on one frame."""

    def __init__(self, run: Run, instruction: Instruction, frame: Frame) -> None:
        self.run = run
        self.instruction = instruction
        self.stack = list(frame.stack)
        self.slots = list(frame.slots)
        self.open = frame.open

    def pop(self) -> Value:
        return self.stack.pop()

    def exact(self, what: str) -> Value:
        """A number whose upper bits count here."""
        value = self.pop()
        if value.wide:
            self.run.find(f"{what} of a number that may be wider than 16 bits: it needs a cast")
        return value

    def go(self, place: int) -> None:
        opcode, operand = self.instruction.opcode, self.instruction.operand
        if (
            OTHER_LANGUAGE.match(opcode)
            or opcode in OTHER_OPCODES
            or (opcode == "newarray" and operand not in ("byte", "short", "boolean"))
        ):
            self.run.find(f"{opcode} {operand}".strip() + ": not in Java Card without int")
            return
        if opcode.startswith(("if", "goto")):
            self._branch(place, opcode, int(operand))
        elif opcode.endswith("switch"):
            self.exact("switch")
            for target in operand.split():
                self.run.jump(int(target), self._frame())
        elif opcode.endswith("return") or opcode == "athrow":
            self._end(opcode)
        else:
            self._straight(opcode, operand)
            self.run.on(place, self._frame())

    def _frame(self) -> Frame:
        return Frame(tuple(self.stack), tuple(self.slots), self.open)

    def _branch(self, place: int, opcode: str, target: int) -> None:
        if opcode.startswith("if"):
            references = opcode in ("ifnull", "ifnonnull") or opcode.startswith("if_acmp")
            for _ in range(2 if opcode.startswith(("if_icmp", "if_acmp")) else 1):
                self.pop() if references else self.exact("comparison")
            self.run.on(place, self._frame())
        self.run.jump(target, self._frame())

    def _end(self, opcode: str) -> None:
        if opcode == "areturn":
            self.run.reading.returned(self.run.method, self.pop().origins)
        if opcode != "athrow" and self.open != self.run.entry_open:
            self.run.find("returns with another transaction than it began with")

    def _straight(self, opcode: str, operand: str) -> None:
        kind, _, number = opcode.partition("_")
        number = number or operand.split(",", maxsplit=1)[0]
        if kind in ("iload", "aload"):
            self.stack.append(self.slots[int(number)])
        elif kind in ("istore", "astore"):
            self.slots[int(number)] = self.pop()
        elif kind in ("iconst", "bipush", "sipush"):
            self.stack.append(Value(constant=-1 if number == "m1" else int(number)))
        elif kind == "iinc":
            self.slots[int(number)] = Value(wide=True)
        elif kind in ("ldc", "ldc_w"):
            self.run.find(f"constant {self.instruction.comment}: wider than 16 bits, or a string")
            self.stack.append(Value())
        elif kind in ("aconst", "new"):
            self.stack.append(Value())
        elif kind in ("newarray", "anewarray"):
            self.pop()
            self.stack.append(Value(origins=frozenset({STATIC if self.run.method.name == "<clinit>" else PERSISTENT})))
        elif kind in ("getfield", "getstatic", "putfield", "putstatic"):
            self._field(kind)
        elif kind.startswith("invoke"):
            self._call()
        elif kind in ("checkcast", "nop"):
            pass
        else:
            self._compute(kind)

    def _compute(self, kind: str) -> None:
        if kind in ("dup", "dup2"):
            self.stack += self.stack[-1 if kind == "dup" else -2 :]
        elif kind in ("dup_x1", "dup_x2"):
            self.stack.insert(-2 if kind == "dup_x1" else -3, self.stack[-1])
        elif kind == "pop":
            self.pop()
        elif kind in ("baload", "saload", "aaload"):
            self.exact("index")
            self.stack.append(Value(origins=self.pop().origins if kind == "aaload" else (self.pop(), NOWHERE)[1]))
        elif kind in ("bastore", "sastore", "aastore"):
            stored = self.exact("store")
            self.exact("index")
            self._written(self.pop(), forgotten=stored.constant == 0)
        elif kind == "arraylength" or kind in NARROW:
            self.pop()
            self.stack.append(Value())
        elif kind == "ineg":
            self.pop()
            self.stack.append(Value(wide=True))
        elif kind in WIDENS | EXACT | {"iand", "ior", "ixor"}:
            self._binary(kind)
        else:
            raise AssertionError(f"{self.run.method.label}: {kind}: this lint does not know it")

    def _binary(self, kind: str) -> None:
        exact = kind in EXACT
        second = self.exact(kind) if exact or kind == "ishl" else self.pop()
        first = self.exact(kind) if exact else self.pop()
        wide = kind in WIDENS or first.wide or second.wide
        if kind == "iand" and any(v.constant is not None and v.constant >= 0 for v in (first, second)):
            wide = False
        self.stack.append(Value(wide))

    def _field(self, kind: str) -> None:
        used = USED.match(self.instruction.comment)
        assert used, self.instruction
        owner, name = _plain((used[1] or self.run.method.owner).replace("/", ".")), used[2]
        if kind.startswith("put"):
            value = self.exact("store")
            if kind == "putfield":
                self.pop()
                if self.run.method.name != "<init>":
                    self.run.find(f"{name}: a field is set at install alone; what changes is in arrays")
            self.run.reading.put(owner, name, value.origins)
        else:
            if kind == "getfield":
                self.pop()
            self.stack.append(Value(origins=self.run.reading.get(owner, name)))

    def _written(self, array: Value, *, forgotten: bool = False) -> None:
        """What the applet's own stores and the atomic copies write to. Whatever becomes of a transaction, RAM may forget."""
        if STATIC in array.origins and self.run.method.name != "<clinit>":
            self.run.find("writes to the array of a static field")
        if SESSION in array.origins and True in self.open and not forgotten:
            self.run.find("writes to the session in RAM inside a transaction, which gives nothing back there")

    def _call(self) -> None:
        called = CALLED.match(self.instruction.comment)
        assert called, self.instruction
        owner, name, descriptor = _plain((called[1] or self.run.method.owner).replace("/", ".")), called[2], called[3]
        given = [self.exact("argument") for _ in arguments(descriptor)][::-1]
        if self.instruction.opcode != "invokestatic":
            given.insert(0, self.pop())
        targets = self.run.reading.targets(owner, name, descriptor) if owner in self.run.reading.classes else []
        origins = self.run.reading.call(targets, tuple(given), self.open)
        if not targets:
            static = self.instruction.opcode == "invokestatic"
            origins = self._platform(owner, name, given if static else given[1:], NOWHERE if static else given[0].origins)
        if not descriptor.endswith(")V"):
            self.stack.append(Value(origins=origins))

    def _platform(self, owner: str, name: str, given: list[Value], receiver: Origins) -> Origins:
        """A call of the platform's: where what comes back lies."""
        api = f"{owner}.{name}"
        inherited = owner in self.run.reading.classes and name in API["javacard/framework/Applet"] | API["java/lang/Object"]
        if not inherited and name not in API.get(owner, ()):
            self.run.find(f"{api}: not among the calls of Java Card 3.0.4 that it may make")
        if name == "beginTransaction":
            self.open = frozenset({True})
        elif name in ("commitTransaction", "abortTransaction"):
            self.open = frozenset({False})
        elif name == "setKey" and self.run.method.owner != SETS_KEYS and receiver != {RAM}:
            self.run.find(f"loads a key object in persistent memory: that is for {SETS_KEYS}")
        elif name == "buildKey":
            return frozenset({PERSISTENT if given[0].constant in (None, TYPE_AES) else RAM})
        if api in OUTPUTS or api in NOT_ATOMIC:
            target = given[(OUTPUTS | NOT_ATOMIC)[api]]
            self._written(target)
            if not target.origins <= {RAM, SESSION} or not target.origins:
                self.run.find(f"{name} writes to {', '.join(sorted(target.origins)) or 'an array from nowhere'}: only RAM may be")
        elif api in COPIES:
            self._written(given[COPIES[api]])
        return frozenset({RAM}) if api in BUFFERS or name.startswith("makeTransient") else NOWHERE


def lint(classes: list[Klass]) -> list[Finding]:
    """Everything that is wrong, in order."""
    reading = Reading(classes)
    findings = set(reading.run())
    for klass in classes:
        for name, found in klass.fields.items():
            if FORBIDDEN_TYPES.fullmatch(found.descriptor.lstrip("[")):
                findings.add(Finding(f"{klass.name}.{name}", f"type {found.descriptor}"))
            if "static" in found.modifiers and "final" not in found.modifiers:
                findings.add(Finding(f"{klass.name}.{name}", "a static field that is not final"))
        for method in klass.methods:
            types = set(arguments(method.descriptor)) | {method.descriptor.split(")")[1]} | method.local_types
            for kind in sorted(types):
                if FORBIDDEN_TYPES.fullmatch(kind.lstrip("[")):
                    findings.add(Finding(method.label, f"type {kind}"))
            if id(method) not in reading.entries and method.code and method.name != "<init>":
                findings.add(Finding(method.label, "is never called"))
    for method in reading.at_work():
        for instruction in method.code.values():
            called = CALLED.match(instruction.comment)
            if instruction.opcode in ALLOCATES or (called and called[2] in ALLOCATING_CALLS):
                findings.add(Finding(method.label, "allocates while it answers a command"))
    return sorted(findings, key=str)
