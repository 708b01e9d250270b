"""Inputs for `fuzz.py`: the shipped models, prior sets and tables, and a manifest, changed at random in ways that their formats
know (cells, entries) and as raw bytes; `mutated_files` has those that are not text."""

import csv
import datetime
import io
import json
import tomllib
from random import Random

import tomli_w

TEXTS = [
    *(
        "",
        " ",
        "\0",
        "\ufeff",
        "\u200b",
        "\u202e",
        "\ud800",
        "e\u0301",
        "é",
        "😀",
        "李明",
        "ＡＢ",
        "a\nb",
        "a\rb",
        "\x1b[31m",
        "%s{0}",
    ),
    *(
        "=cmd|'/c calc'!A1",
        '=HYPERLINK("http://x")',
        "@SUM(1)",
        "+1+1",
        "-2",
        "<script>alert(1)</script>",
        "]]>",
        "'\"`$\\",
        "NA",
        "con.",
    ),
    *(
        "nan",
        "inf",
        "-inf",
        "-0",
        "1e400",
        "1e-400",
        "1e308",
        "9" * 400,
        "0x10",
        "1_000",
        "٣",
        "½",
        "1.234,5",
        "1 234",
        "1,234",
        "0,5",
    ),
    *("15-Dec", "2024-12-15", "12/15/2024", "12-15", "15-12", "≥21", "<5", "<0", "1e5-1e-5", "1e308-1e400", "1+", "95%", "#REF!"),
    *("higher", "lower", "SMD", "MD", "OR", "RR", "SMCC", "sham", "none", "parallel", "within-group", "participant", "crossover"),
    *(
        "iTBS",
        "rTMS",
        "QPS",
        "chronic",
        "study",
        "row",
        "effect",
        "frequency_hz",
        "phase:site",
        "*",
        "bell",
        "a" * 3000,
        "(" * 3000,
    ),
    *(
        "normal",
        "lognormal",
        "halfnormal",
        "logt",
        "correlation",
        "beta",
        "cls",
        "self",
        "ordinal",
        "step",
        "pet",
        "student-t",
        "p = .03",
    ),
]
NUMBERS = [
    float("nan"),
    float("inf"),
    -float("inf"),
    -0.0,
    0,
    1,
    -1,
    2,
    0.5,
    0.95,
    10,
    45580,
    1e-300,
    1e300,
    1.7e308,
    10**30,
    -(2**63),
]
DATES = [datetime.date(2024, 12, 15), datetime.datetime(1, 1, 1, 0, 0), datetime.time(7, 32)]
LITERALS = [
    *(
        "nan",
        "-0.0",
        "1e400",
        "9" * 5000,
        "-" + "9" * 400,
        "0x" + "f" * 4000,
        "0b",
        "1979-05-27",
        "07:32:00",
        "[[]]",
        "{}",
        "''''''",
    ),
    *(
        '"\\u0000"',
        '"\\ud800"',
        "[" * 5000 + "]" * 5000,
        "{a=" * 3000 + "1" + "}" * 3000,
        "[" * 100000,
        '"""',
        "a" + ".a" * 3000 + "=1",
    ),
]
BYTES = [
    b"\0",
    b"\xff\xfe",
    b"\xfe\xff",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    b"\r",
    b"\r\n",
    b"\n\n",
    b'"',
    b",",
    b";",
    b"\t",
    b"\x85",
    b"\xff" * 8,
    b"\0\0\0\x80\0\0\0\0",
]
ENCODINGS = ("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252", "latin-1")


def raw(random: Random, content: bytes, others: list[bytes]) -> bytes:
    """Byte noise: pieces changed, put in, left out, repeated, exchanged with those of other inputs, cut off."""
    for _ in range(random.choice((1, 1, 2, 4, 16))):
        k, length = random.randrange(len(content) + 1), random.choice((1, 2, 4, 16, 256))
        piece = content[k : k + length]
        other = random.choice(others)
        start = random.randrange(len(other) + 1)
        new = random.choice(
            [
                random.randbytes(length),
                b"",
                piece * random.choice((2, 3, 50)),
                random.choice(BYTES),
                other[start : start + length],
            ]
        )
        content = content[:k] + new + content[k + (0 if random.random() < 0.3 else len(piece)) :]
    return content[: random.randrange(len(content) + 1)] if random.random() < 0.05 else content


def value(random: Random, known: list, depth: int = 0):
    """Any value that JSON or TOML may hold; often one that stands elsewhere in a sound file."""
    kind = random.random()
    if kind < 0.35 and known:
        return json_copy(random.choice(known))  # not the same: it might come to hold itself
    if kind < 0.55:
        return random.choice(NUMBERS)
    if kind < 0.8:
        return random.choice(TEXTS)
    if kind < 0.85:
        return random.random() < 0.5
    if kind < 0.97:
        items = [value(random, known, depth + 1) for _ in range(random.choice((0, 1, 2, 3)))] if depth < 4 else []
        return items if kind < 0.93 else {random.choice(TEXTS): item for item in items}
    nested = []
    for _ in range(random.choice((5, 90, 500))):
        nested = [nested]
    return nested


def inside(tree) -> list[tuple]:
    """Every place of a tree, as (container, key)."""
    found, waiting = [], [tree]
    while waiting:
        container = waiting.pop()
        for key in list(container) if isinstance(container, dict) else range(len(container)):
            found.append((container, key))
            if isinstance(container[key], dict | list):
                waiting.append(container[key])
    return found


def changed_tree(random: Random, tree: dict, known: list, keys: list[str]) -> dict:
    """A tree with some entries replaced, renamed, left out, added or exchanged."""
    tree = json_copy(tree)
    for _ in range(random.choice((1, 1, 1, 2, 3, 6))):
        places = inside(tree)
        container, key = random.choice(places) if places else (tree, None)
        act = random.random()
        if act < 0.5 and key is not None:
            container[key] = value(random, known)
        elif act < 0.65 and key is not None:
            del container[key]
        elif act < 0.75 and isinstance(container, dict) and key is not None:
            container[random.choice([*keys, *TEXTS])] = container.pop(key)
        elif act < 0.9 and isinstance(container, dict):
            container[random.choice([*keys, *TEXTS])] = value(random, known)
        elif isinstance(container, list):
            container.extend(container[:3] or [value(random, known)])
        elif key is not None:
            other, place = random.choice(places)
            container[key] = json_copy(other[place]) if place in (other if isinstance(other, dict) else range(len(other))) else 0
    return tree


def json_copy(tree):
    if isinstance(tree, dict):
        return {key: json_copy(item) for key, item in tree.items()}
    return [json_copy(item) for item in tree] if isinstance(tree, list) else tree


def harvest(trees: list) -> tuple[list, list[str]]:
    """The values and keys that stand anywhere in some trees."""
    places = [place for tree in trees for place in inside(tree)]
    return [json_copy(c[k]) for c, k in places], sorted({k for _, k in places if isinstance(k, str)})


def toml(random: Random, texts: list[str]) -> bytes:
    """A TOML file: entries changed as a tree, or lines and literals as text, or bytes."""
    text, kind = random.choice(texts), random.random()
    if kind < 0.6:
        known, keys = harvest([tomllib.loads(text), tomllib.loads(random.choice(texts))])
        try:
            return encoded(random, tomli_w.dumps(changed_tree(random, tomllib.loads(text), known, keys)))
        except (TypeError, ValueError, RecursionError):
            kind = 0.7
    if kind < 0.85:
        lines, others = text.split("\n"), random.choice(texts).split("\n")
        for _ in range(random.choice((1, 1, 2, 4))):
            k = random.randrange(len(lines))
            name, mark, _ = lines[k].partition("=")
            new = [
                f"{name}{mark or '='} {random.choice(LITERALS)}",
                lines[k] * 2,
                "",
                random.choice(others),
                f"[{random.choice(TEXTS)}]",
            ]
            lines[k] = random.choice([*new, lines[random.randrange(len(lines))]])
        return encoded(random, random.choice(("\n", "\n", "\r\n", "\r")).join(lines))
    return raw(random, text.encode(), [other.encode() for other in texts])


def encoded(random: Random, text: str) -> bytes:
    encoding = random.choice(ENCODINGS)
    return text.encode(encoding, "surrogatepass" if encoding.startswith("utf") else "replace")


def grid(random: Random, tables: list[list[list]], names: list[str], cells: list) -> list[list]:
    """A table with cells, names and the order of rows and columns changed, and rows and columns added and left out."""
    rows = [list(row) for row in random.choice(tables)]
    rows = [rows[0], *random.sample(rows[1:], min(len(rows) - 1, random.choice((0, 1, 5, 20))))]
    for _ in range(random.choice((0, 1, 1, 2, 5, 20))):
        act, k = random.random(), random.randrange(len(rows))
        j = random.randrange(len(rows[k])) if rows[k] else 0
        if act < 0.6 and rows[k]:
            rows[k][j] = random.choice(cells)
        elif act < 0.7 and j < len(rows[0]):
            rows[0][j] = random.choice(names)
        elif act < 0.8:
            rows.insert(k, list(random.choice(rows)))
        elif act < 0.85:
            rows[k] = rows[k][: random.randrange(len(rows[k]) + 1)]
        elif act < 0.95:
            name, cell = random.choice(names), random.choice(cells)
            rows = [[*row, cell if i else name] for i, row in enumerate(rows)]
        elif act < 0.97:
            random.shuffle(rows)
        else:
            wide = random.choice((10, 300))
            rows = [
                [*row, *([f"column {n}" for n in range(wide)] if not i else [random.choice(cells)] * wide)]
                for i, row in enumerate(rows)
            ]
    return rows


def csv_file(random: Random, tables: list[list[list]], names: list[str]) -> bytes:
    out = io.StringIO()
    separator = random.choice(",,,;\t|")
    style = {"quoting": random.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL)), "lineterminator": random.choice(("\n", "\r\n", "\r"))}
    if random.random() < 0.1:
        out.write(f"sep={separator}{style['lineterminator']}")
    csv.writer(out, delimiter=separator, **style).writerows(grid(random, tables, names, [*TEXTS, *NUMBERS, *DATES]))
    content = encoded(random, out.getvalue())
    return raw(random, content, [content, *BYTES]) if random.random() < 0.4 else content


def json_file(random: Random, content: bytes) -> bytes:
    """A JSON file: entries changed as a tree, or bytes."""
    tree = json.loads(content)
    if random.random() < 0.75 and isinstance(tree, dict):
        known, keys = harvest([tree])
        try:
            changed = json.dumps(changed_tree(random, tree, [*known, None], keys), ensure_ascii=random.random() < 0.5)
            return changed.encode("utf-8", "surrogatepass")
        except (TypeError, ValueError, RecursionError):
            pass
    if random.random() < 0.1:
        return content.replace(b":", b":" + random.choice((b"[" * 100_000, b"9" * 5000 + b",", b"NaN,", b"1e999,")), 1)
    return raw(random, content, [content, *BYTES])
