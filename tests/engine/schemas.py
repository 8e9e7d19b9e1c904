"""JSON schemas as programs send them, some three hundred, built from parts; and hostile ones."""

import random
from typing import Any

Schema = dict[str, Any]

STRINGS: list[Schema] = [
    {"type": "string"},
    {"type": "string", "minLength": 1, "maxLength": 12},
    {"type": "string", "enum": ["low", "medium", "high"]},
    {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{3,5}$"},
    {"type": "string", "pattern": "^#[0-9a-f]{6}$"},
    {"type": "string", "format": "date"},
    {"type": "string", "format": "time"},
    {"type": "string", "format": "date-time"},
    {"type": "string", "format": "email"},
    {"type": "string", "format": "uuid"},
    {"type": "string", "format": "ipv4"},
    {"type": "string", "format": "hostname"},
    {"const": "fixed"},
    {"type": "string", "enum": ["Größe", 'with "quotes"', "back\\slash", "new\nline", "🪿"]},
]
NUMBERS: list[Schema] = [
    {"type": "integer"},
    {"type": "integer", "minimum": 0},
    {"type": "integer", "minimum": -5, "maximum": 17},
    {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 100},
    {"type": "integer", "multipleOf": 5, "minimum": 0, "maximum": 1000},
    {"type": "number"},
    {"type": "number", "minimum": 0, "maximum": 1},
    {"type": "number", "exclusiveMinimum": -1.5, "maximum": 2.25},
    {"enum": [1, 2.5, None, True, "x"]},
    {"type": "boolean"},
    {"type": "null"},
]
LEAVES = STRINGS + NUMBERS
FIELDS = ["id", "name", "price", "tags", "address", "when", "status", "unit price", "größe", "$ref_no", "a.b", "items"]


def real_world_like(count: int = 320) -> list[Schema]:
    """Every leaf, then every kind of composition over drawn parts, then whole ones as they are found in the wild."""
    draw = random.Random(7)
    schemas: list[Schema] = [{"type": "object", "properties": {"x": leaf}, "required": ["x"]} for leaf in LEAVES]
    schemas += WHOLE
    kinds = [record, listing, union, referenced, mapping, optional, tuple_of, merged]
    while len(schemas) < count:
        schemas.append(kinds[len(schemas) % len(kinds)](draw, 2))
    return schemas


def part(draw: random.Random, depth: int) -> Schema:
    """A leaf, or a composition while there is depth."""
    if depth == 0 or draw.random() < 0.5:
        return draw.choice(LEAVES)
    return draw.choice([record, listing, union, optional])(draw, depth - 1)


def record(draw: random.Random, depth: int) -> Schema:
    """An object with some fields required, open or closed."""
    names = draw.sample(FIELDS, draw.randint(1, 4))
    schema: Schema = {"type": "object", "properties": {name: part(draw, depth) for name in names}}
    schema["required"] = draw.sample(names, draw.randint(1, len(names)))
    if draw.random() < 0.7:
        schema["additionalProperties"] = False
    return schema


def listing(draw: random.Random, depth: int) -> Schema:
    """An array with bounds."""
    least = draw.randint(0, 2)
    return {"type": "array", "items": part(draw, depth), "minItems": least, "maxItems": least + draw.randint(0, 3)}


def union(draw: random.Random, depth: int) -> Schema:
    """One of several, told apart by a constant."""
    kinds = []
    for name in draw.sample(["circle", "square", "line"], 2):
        fields = {"kind": {"const": name}, "value": part(draw, depth)}
        kinds.append({"type": "object", "properties": fields, "required": ["kind", "value"]})
    return {"anyOf": kinds}


def referenced(draw: random.Random, depth: int) -> Schema:
    """A tree: a definition that refers to itself."""
    node = {
        "type": "object",
        "properties": {
            "value": part(draw, depth),
            "children": {"type": "array", "items": {"$ref": "#/$defs/node"}, "maxItems": 2},
        },
        "required": ["value"],
        "additionalProperties": False,
    }
    return {"$defs": {"node": node}, "$ref": "#/$defs/node"}


def mapping(draw: random.Random, depth: int) -> Schema:
    """Any names with values of one kind."""
    return {"type": "object", "additionalProperties": part(draw, depth)}


def optional(draw: random.Random, depth: int) -> Schema:
    """A part, or null."""
    return {"anyOf": [part(draw, depth), {"type": "null"}]}


def tuple_of(draw: random.Random, depth: int) -> Schema:
    """An array whose places have kinds of their own."""
    return {"type": "array", "prefixItems": [part(draw, depth), part(draw, 0)], "items": False, "minItems": 2}


def merged(draw: random.Random, depth: int) -> Schema:
    """Two objects that both hold."""
    first = {"type": "object", "properties": {"first": part(draw, depth)}, "required": ["first"]}
    second = {"type": "object", "properties": {"second": part(draw, 0)}, "required": ["second"]}
    return {"allOf": [first, second]}


WHOLE: list[Schema] = [
    {  # an invoice
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Invoice",
        "type": "object",
        "properties": {
            "number": {"type": "string", "pattern": "^[0-9]{4}-[0-9]{3}$", "description": "As printed."},
            "date": {"type": "string", "format": "date"},
            "currency": {"enum": ["EUR", "CHF", "USD"], "default": "EUR"},
            "lines": {
                "type": "array",
                "minItems": 1,
                "maxItems": 3,
                "items": {
                    "type": "object",
                    "properties": {
                        "text": {"type": "string", "maxLength": 20},
                        "quantity": {"type": "integer", "minimum": 1, "maximum": 99},
                        "price": {"type": "number", "minimum": 0},
                    },
                    "required": ["text", "quantity", "price"],
                    "additionalProperties": False,
                },
            },
        },
        "required": ["number", "date", "currency", "lines"],
        "additionalProperties": False,
    },
    {  # what pydantic makes of a model with an enumeration and an optional field
        "$defs": {"Colour": {"enum": ["red", "green"], "title": "Colour", "type": "string"}},
        "properties": {
            "name": {"title": "Name", "type": "string"},
            "colour": {"$ref": "#/$defs/Colour"},
            "age": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None, "title": "Age"},
        },
        "required": ["name", "colour"],
        "title": "Cat",
        "type": "object",
    },
    {  # an expression: two definitions that refer to each other
        "$defs": {
            "sum": {
                "type": "object",
                "properties": {"left": {"$ref": "#/$defs/term"}, "right": {"$ref": "#/$defs/term"}},
                "required": ["left", "right"],
                "additionalProperties": False,
            },
            "term": {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 9}, {"$ref": "#/$defs/sum"}]},
        },
        "$ref": "#/$defs/sum",
    },
    {"type": ["string", "null"], "maxLength": 5},
    {"type": "array", "items": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}},
    {"type": "object", "patternProperties": {"^x-": {"type": "string"}}, "additionalProperties": False},
    {"oneOf": [{"type": "integer"}, {"type": "boolean"}]},
]

HOSTILE: dict[str, Schema] = {
    "nested quantifiers": {"type": "string", "pattern": "^((a+)+)+$"},
    "quantifiers of quantifiers": {"type": "string", "pattern": "((a{0,1000}){0,1000}){0,1000}"},
    "many alternatives": {"type": "string", "pattern": "(" + "|".join(f"a{{{i}}}b*" for i in range(300)) + ")+c"},
    "dots": {"type": "string", "pattern": "(.*a){40}"},
    "itself": {"$ref": "#"},
    "round in a circle": {
        "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}},
        "$ref": "#/$defs/a",
    },
    "endless": {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]},
    "wide": {"type": "object", "properties": {f"p{i}": {"type": "integer"} for i in range(2000)}},
    "long": {"type": "array", "items": {"type": "string"}, "minItems": 1000, "maxItems": 100000},
    "huge enumeration": {"enum": [f"value {i}" for i in range(10000)]},
    "bounds": {"type": "string", "minLength": 90000, "maxLength": 100000},
}
