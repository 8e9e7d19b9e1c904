"""Vectors of sixteen numbers for numba: what the compiled kernels are written with.

numba has no vector type, so two opaque ones are added, `floats` and `ints`, with functions that become one or a few
instructions each. LLVM splits a vector where the processor's are shorter, so the same source serves every processor.
Memory is named by address and byte offset; nothing is checked, so callers check shapes before they compile anything in.
Every function keeps NaN a NaN, adds in a fixed order, and gives the same bits wherever it is used.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

LANES = 16
I8, I16, I32, I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
F16, F32 = ir.HalfType(), ir.FloatType()
INTS, FLOATS = ir.VectorType(I32, LANES), ir.VectorType(F32, LANES)


class FloatsType(types.Type):
    """Sixteen float32 in a register."""

    def __init__(self) -> None:
        super().__init__(name="floats16")


class IntsType(types.Type):
    """Sixteen int32 in a register."""

    def __init__(self) -> None:
        super().__init__(name="ints16")


floats, ints = FloatsType(), IntsType()


@register_model(FloatsType)
class _FloatsModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, FLOATS)


@register_model(IntsType)
class _IntsModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, INTS)


def pointer(builder: Any, address: Any, offset: Any, kind: Any) -> Any:
    """A pointer to a value of `kind` at `address + offset` bytes."""
    return builder.inttoptr(builder.add(address, offset), kind.as_pointer())


def splat_vector(builder: Any, value: Any, lanes: int = LANES) -> Any:
    """A vector with the value in every lane."""
    undefined = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
    first = builder.insert_element(undefined, value, I32(0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(I32, lanes), [0] * lanes))


def call(builder: Any, name: str, result: Any, *arguments: Any) -> Any:
    """Call one of LLVM's own functions."""
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)


def emit_fma(builder: Any, x: Any, y: Any, z: Any) -> Any:
    """`x * y + z` with one rounding."""
    return call(builder, f"llvm.fma.v{x.type.count}f32", x.type, x, y, z)


def emit_prefetch(builder: Any, place: Any, level: int) -> None:
    """Ask for the line at an i8 pointer; `level` 3 is the nearest cache, 2 the next."""
    kind = ir.FunctionType(ir.VoidType(), [I8.as_pointer(), I32, I32, I32])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    builder.call(function, [place, I32(0), I32(level), I32(1)])


def constant_floats(value: float) -> Any:
    """The number in every lane."""
    return ir.Constant(FLOATS, [float(value)] * LANES)


def _emit(function: Callable[..., Any]) -> Callable[..., Any]:
    """numba's form of `function(builder, *values)`, which returns a value or, for an effect, nothing."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        made = function(builder, *values)
        return context.get_dummy_value() if signature.return_type == types.void else made

    return generate


# Memory. An address is an int64, an offset is in bytes.


@intrinsic
def address(typing: Any, array: Any) -> Any:
    """Where an array's first element lies; the caller keeps the array alive."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        found = context.make_array(signature.args[0])(context, builder, values[0])
        return builder.ptrtoint(found.data, I64)

    return types.int64(array), generate


@intrinsic
def load_floats(typing: Any, base: Any, offset: Any) -> Any:
    """Sixteen float32."""
    return floats(types.int64, types.int64), _emit(lambda b, p, o: b.load(pointer(b, p, o, FLOATS), align=1))


@intrinsic
def load_ints(typing: Any, base: Any, offset: Any) -> Any:
    """Sixteen int32."""
    return ints(types.int64, types.int64), _emit(lambda b, p, o: b.load(pointer(b, p, o, INTS), align=1))


@intrinsic
def load_halves(typing: Any, base: Any, offset: Any) -> Any:
    """Sixteen float16 as floats."""
    return floats(types.int64, types.int64), _emit(emit_load_halves)


@intrinsic
def load_bytes(typing: Any, base: Any, offset: Any) -> Any:
    """Sixteen int8 as ints."""
    kind = ir.VectorType(I8, LANES)
    return ints(types.int64, types.int64), _emit(lambda b, p, o: b.sext(b.load(pointer(b, p, o, kind), align=1), INTS))


@intrinsic
def store_floats(typing: Any, base: Any, offset: Any, x: Any) -> Any:
    """Sixteen float32."""
    return types.void(types.int64, types.int64, floats), _emit(
        lambda b, p, o, v: b.store(v, pointer(b, p, o, FLOATS), align=1)
    )


@intrinsic
def store_ints(typing: Any, base: Any, offset: Any, x: Any) -> Any:
    """Sixteen int32."""
    return types.void(types.int64, types.int64, ints), _emit(
        lambda b, p, o, v: b.store(v, pointer(b, p, o, INTS), align=1)
    )


@intrinsic
def store_halves(typing: Any, base: Any, offset: Any, x: Any) -> Any:
    """Floats rounded to sixteen float16."""

    def emit(builder: Any, base: Any, offset: Any, value: Any) -> None:
        rounded = builder.fptrunc(value, ir.VectorType(F16, LANES))
        bits = builder.bitcast(rounded, ir.VectorType(I16, LANES))
        builder.store(bits, pointer(builder, base, offset, bits.type), align=1)

    return types.void(types.int64, types.int64, floats), _emit(emit)


@intrinsic
def store_bytes(typing: Any, base: Any, offset: Any, x: Any) -> Any:
    """The low bytes of ints, as sixteen int8."""
    kind = ir.VectorType(I8, LANES)
    return types.void(types.int64, types.int64, ints), _emit(
        lambda b, p, o, v: b.store(b.trunc(v, kind), pointer(b, p, o, kind), align=1)
    )


@intrinsic
def load_float(typing: Any, base: Any, offset: Any) -> Any:
    """One float32."""
    return types.float32(types.int64, types.int64), _emit(lambda b, p, o: b.load(pointer(b, p, o, F32), align=1))


@intrinsic
def store_float(typing: Any, base: Any, offset: Any, x: Any) -> Any:
    """One float32."""
    return types.void(types.int64, types.int64, types.float32), _emit(
        lambda b, p, o, v: b.store(v, pointer(b, p, o, F32), align=1)
    )


@intrinsic
def store_int(typing: Any, base: Any, offset: Any, x: Any) -> Any:
    """One int32."""
    return types.void(types.int64, types.int64, types.int32), _emit(
        lambda b, p, o, v: b.store(v, pointer(b, p, o, I32), align=1)
    )


@intrinsic
def broadcast_float(typing: Any, base: Any, offset: Any) -> Any:
    """One float32 from memory in every lane."""
    return floats(types.int64, types.int64), _emit(
        lambda b, p, o: splat_vector(b, b.load(pointer(b, p, o, F32), align=1))
    )


@intrinsic
def broadcast_half(typing: Any, base: Any, offset: Any) -> Any:
    """One float16 from memory in every lane."""

    def emit(builder: Any, base: Any, offset: Any) -> Any:
        bits = splat_vector(builder, builder.load(pointer(builder, base, offset, I16), align=1))
        return builder.fpext(builder.bitcast(bits, ir.VectorType(F16, LANES)), FLOATS)

    return floats(types.int64, types.int64), _emit(emit)


@intrinsic
def splat(typing: Any, x: Any) -> Any:
    """A float32 in every lane."""
    return floats(types.float32), _emit(splat_vector)


@intrinsic
def splat_int(typing: Any, x: Any) -> Any:
    """An int32 in every lane."""
    return ints(types.int32), _emit(splat_vector)


@intrinsic
def zeros(typing: Any) -> Any:
    """Sixteen 0.0."""
    return floats(), _emit(lambda b: constant_floats(0))


@intrinsic
def prefetch(typing: Any, base: Any, offset: Any) -> Any:
    """Ask for a cache line; any address is allowed."""
    return types.void(types.int64, types.int64), _emit(lambda b, p, o: emit_prefetch(b, pointer(b, p, o, I8), 3))


# Arithmetic.


@intrinsic
def add(typing: Any, x: Any, y: Any) -> Any:
    """x + y, of floats or of ints."""
    return x(x, x), _emit(lambda b, x, y: b.fadd(x, y) if x.type == FLOATS else b.add(x, y))


@intrinsic
def subtract(typing: Any, x: Any, y: Any) -> Any:
    """x - y, of floats or of ints."""
    return x(x, x), _emit(lambda b, x, y: b.fsub(x, y) if x.type == FLOATS else b.sub(x, y))


@intrinsic
def multiply(typing: Any, x: Any, y: Any) -> Any:
    """x * y."""
    return floats(floats, floats), _emit(lambda b, x, y: b.fmul(x, y))


@intrinsic
def divide(typing: Any, x: Any, y: Any) -> Any:
    """x / y."""
    return floats(floats, floats), _emit(lambda b, x, y: b.fdiv(x, y))


@intrinsic
def fma(typing: Any, x: Any, y: Any, z: Any) -> Any:
    """x * y + z, rounded once."""
    return floats(floats, floats, floats), _emit(emit_fma)


@intrinsic
def larger(typing: Any, x: Any, y: Any) -> Any:
    """The larger of each pair; y where either is NaN."""
    return floats(floats, floats), _emit(lambda b, x, y: b.select(b.fcmp_ordered(">", x, y), x, y))


@intrinsic
def absolute_bits(typing: Any, x: Any) -> Any:
    """|x| as integers, which compare as the numbers do, with infinity and then NaN above them all."""
    mask = ir.Constant(INTS, [0x7FFFFFFF] * LANES)
    return ints(floats), _emit(lambda b, x: b.and_(b.bitcast(x, INTS), mask))


@intrinsic
def larger_int(typing: Any, x: Any, y: Any) -> Any:
    """The larger of each pair."""
    return ints(ints, ints), _emit(lambda b, x, y: b.select(b.icmp_signed(">", x, y), x, y))


@intrinsic
def largest_int(typing: Any, x: Any) -> Any:
    """The largest lane."""
    return types.int32(ints), _emit(lambda b, x: call(b, "llvm.vector.reduce.smax.v16i32", I32, x))


@intrinsic
def largest(typing: Any, x: Any) -> Any:
    """The largest lane; lanes are not NaN."""

    def combine(builder: Any, x: Any, y: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", x, y), x, y)

    return types.float32(floats), _emit(lambda b, x: _fold(b, x, combine))


@intrinsic
def total(typing: Any, x: Any) -> Any:
    """The sum of the lanes, halves first: ((0+8)+(4+12))+..."""
    return types.float32(floats), _emit(lambda b, x: _fold(b, x, lambda b, x, y: b.fadd(x, y)))


@intrinsic
def total_int(typing: Any, x: Any) -> Any:
    """The sum of the lanes."""
    return types.int32(ints), _emit(lambda b, x: call(b, "llvm.vector.reduce.add.v16i32", I32, x))


@intrinsic
def to_floats(typing: Any, x: Any) -> Any:
    """ints as floats."""
    return floats(ints), _emit(lambda b, x: b.sitofp(x, FLOATS))


@intrinsic
def round_to_ints(typing: Any, x: Any) -> Any:
    """The nearest integers, ties to even; NaN and what is too large for int32 become anything."""
    return ints(floats), _emit(lambda b, x: b.fptosi(call(b, "llvm.rint.v16f32", FLOATS, x), INTS))


@intrinsic
def float_of_bits(typing: Any, x: Any) -> Any:
    """The float32 with an int32's bits."""
    return types.float32(types.int32), _emit(lambda b, x: b.bitcast(x, F32))


@intrinsic
def exponential(typing: Any, x: Any) -> Any:
    """e to the x, within 2 parts in 10 million; x is cut off at -87 and 88."""
    return floats(floats), _emit(emit_exponential)


@intrinsic
def silu_gate(typing: Any, gate: Any, up: Any) -> Any:
    """silu(gate) * up (SwiGLU, arXiv 2002.05202)."""

    def emit(builder: Any, gate: Any, up: Any) -> Any:
        exponential = emit_exponential(builder, builder.fneg(gate))
        return builder.fmul(builder.fdiv(gate, builder.fadd(exponential, constant_floats(1))), up)

    return floats(floats, floats), _emit(emit)


def emit_load_halves(builder: Any, base: Any, offset: Any, lanes: int = LANES) -> Any:
    """Float16 from memory as a vector of float32."""
    bits = builder.load(pointer(builder, base, offset, ir.VectorType(I16, lanes)), align=1)
    return builder.fpext(builder.bitcast(bits, ir.VectorType(F16, lanes)), ir.VectorType(F32, lanes))


def emit_exponential(builder: Any, x: Any) -> Any:
    """2**n times a polynomial of the rest, |rest| <= ln(2) / 2, which is split off in two steps to stay exact."""
    lowest, highest = constant_floats(-87), constant_floats(88)
    x = builder.select(builder.fcmp_ordered("<", x, lowest), lowest, x)
    x = builder.select(builder.fcmp_ordered(">", x, highest), highest, x)
    n = call(builder, "llvm.rint.v16f32", FLOATS, builder.fmul(x, constant_floats(1.4426950408889634)))
    rest = emit_fma(builder, n, constant_floats(-0.693145751953125), x)
    rest = emit_fma(builder, n, constant_floats(-1.428606765330187e-06), rest)
    power = constant_floats(1 / 720)
    for coefficient in (1 / 120, 1 / 24, 1 / 6, 0.5, 1, 1):
        power = emit_fma(builder, power, rest, constant_floats(coefficient))
    exponent = builder.add(builder.fptosi(n, INTS), ir.Constant(INTS, [127] * LANES))
    return builder.fmul(power, builder.bitcast(builder.shl(exponent, ir.Constant(INTS, [23] * LANES)), FLOATS))


def _fold(builder: Any, x: Any, combine: Callable[..., Any]) -> Any:
    """Combine the upper half with the lower until one lane is left."""
    lanes = x.type.count
    while lanes > 1:
        lanes //= 2
        kind = ir.VectorType(I32, lanes)
        low = builder.shuffle_vector(x, x, ir.Constant(kind, list(range(lanes))))
        high = builder.shuffle_vector(x, x, ir.Constant(kind, list(range(lanes, 2 * lanes))))
        x = combine(builder, low, high)
    return builder.extract_element(x, I32(0))


# Threads.


@intrinsic
def atomic_add(typing: Any, place: Any, value: Any) -> Any:
    """Add to the int64 at an address; returns what was there."""
    return types.int64(types.int64, types.int64), _emit(
        lambda b, p, v: b.atomic_rmw("add", b.inttoptr(p, I64.as_pointer()), v, "acq_rel")
    )


@intrinsic
def atomic_load(typing: Any, place: Any) -> Any:
    """The int64 at an address, with everything that was written before it."""
    return types.int64(types.int64), _emit(lambda b, p: b.load_atomic(b.inttoptr(p, I64.as_pointer()), "acquire", 8))


@intrinsic
def atomic_store(typing: Any, place: Any, value: Any) -> Any:
    """Set the int64 at an address, after everything that was written before."""
    return types.void(types.int64, types.int64), _emit(
        lambda b, p, v: b.store_atomic(v, b.inttoptr(p, I64.as_pointer()), "release", 8)
    )


@intrinsic
def pause(typing: Any) -> Any:
    """Tell an x86 processor that this loop waits; nothing elsewhere."""

    def emit(builder: Any) -> None:
        if binding.get_default_triple().startswith("x86_64"):
            call(builder, "llvm.x86.sse2.pause", ir.VoidType())

    return types.void(), _emit(emit)


@intrinsic
def yield_processor(typing: Any) -> Any:
    """Let another thread of the machine run (POSIX)."""
    return types.void(), _emit(lambda b: call(b, "sched_yield", I32))
