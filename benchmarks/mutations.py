"""Inputs for `fuzz.py`: the shipped models, prior sets and tables, and a small saved fit, changed at random in ways that their formats
know (cells, entries, parts of a zip file) and as raw bytes. Nothing here is of stimdose but its files."""

import csv
import datetime
import hashlib
import io
import json
import re
import tomllib
import zipfile
from random import Random

import h5py
import numpy as np
import openpyxl
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
SEAL = b"\nstimdose sha256 "
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
        return random.choice(known)
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


def excel_file(random: Random, tables: list[list[list]], names: list[str]) -> bytes:
    """A workbook with cells of every kind, or one whose parts are changed."""
    book = openpyxl.Workbook()
    cells = [*TEXTS, *NUMBERS, *DATES, True, datetime.timedelta(1), "=1+1", "=A1", "#DIV/0!"]
    for i, row in enumerate(grid(random, tables, names, cells), start=1):
        for j, cell in enumerate(row, start=1):
            try:
                at = book.active.cell(i, j, _number(cell))
            except (ValueError, openpyxl.utils.exceptions.IllegalCharacterError):
                continue
            if random.random() < 0.01:
                at.number_format = random.choice(("0%", "@", "yyyy-mm-dd", "[h]:mm", "General;;;", "0,0\\ %"))
    for _ in range(random.choice((0, 0, 1, 3))):
        top, left = random.randrange(1, 9), random.randrange(1, 9)
        book.active.merge_cells(None, top, left, top + random.randrange(4), left + random.randrange(1, 4))
    out = io.BytesIO()
    try:
        book.save(out)
    except UnicodeEncodeError:  # of a lone surrogate
        return b""
    content = out.getvalue()
    return changed_zip(random, content, changed_xml) if random.random() < 0.6 else content


def _number(cell):
    """Numbers of a text table as numbers."""
    try:
        return float(cell) if isinstance(cell, str) and len(cell) < 20 else cell
    except ValueError:
        return cell


ATTRIBUTES = {
    rb'\br="[^"]*"': [b'r="XFD1048576"', b'r="1000000000"', b'r="A0"', b'r=""', b'r="ZZZZZ1"', b'r="1e9"', b'r="-1"'],
    rb'\bs="[^"]*"': [b's="99999"', b's="-1"', b's="x"'],
    rb'\bt="[^"]*"': [b't="s"', b't="e"', b't="d"', b't="b"', b't="str"', b't="inlineStr"', b't="f"', b't="zz"'],
    rb"<v>[^<]*</v>": [
        b"<v>1e400</v>",
        b"<v>99999999999</v>",
        b"<v></v>",
        b"<v>nan</v>",
        b"<v>-1</v>",
        b"<v>" + b"9" * 5000 + b"</v>",
    ],
    rb'\bref="[^"]*"': [b'ref="A1:XFD1048576"', b'ref="B2:A1"', b'ref="A:A"', b'ref=""', b'ref="A2:C1000000"'],
    rb"<f>[^<]*</f>": [b"<f></f>", b'<f t="shared" si="0">A1</f>', b'<f t="array" ref="A1:A9">1</f>', b'<f t="dataTable"/>'],
    rb"<row [^>]*>": [b'<row r="1048577">', b"<row>", b'<row r="3" ht="x">', b'<row r="2000000000">'],
    rb"^<": [
        b'<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">'
        + b"".join(b'<!ENTITY %c "%b">' % (c, b"&%c;" % (c - 1) * 10) for c in range(98, 107))
        + b"]><",
        b'<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/hostname">]><',
    ],
    rb"<t>[^<]*</t>": [b"<t>&a;</t>", b"<t>&j;</t>", b"<t><r/></t>", b"<t>" + b"x" * 40000 + b"</t>"],
}


def changed_xml(random: Random, name: str, content: bytes) -> bytes:
    for _ in range(random.choice((1, 1, 3))):
        pattern = random.choice(list(ATTRIBUTES))
        if (found := list(re.finditer(pattern, content))) and random.random() < 0.8:
            at = random.choice(found)
            content = content[: at.start()] + random.choice(ATTRIBUTES[pattern]) + content[at.end() :]
        else:
            content = raw(random, content, [content, *BYTES])
    return content


def changed_zip(random: Random, content: bytes, changed) -> bytes:
    """A zip file with a part changed, left out, named twice, cut off, or blown up; or its bytes changed."""
    act, out = random.random(), io.BytesIO()
    if act < 0.2:
        return raw(random, content, [content, *BYTES])
    if act < 0.25:
        return content[: random.randrange(len(content))]
    with zipfile.ZipFile(io.BytesIO(content)) as before, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as after:
        chosen = random.choice(before.namelist())
        for name in before.namelist():
            part = before.read(name)
            if name != chosen:
                after.writestr(name, part)
            elif act < 0.85:
                after.writestr(name, changed(random, name, part))
            elif act < 0.9:
                after.writestr(f"{name}.old", part)
            elif act < 0.93:
                after.writestr(name, blown_up(part))
    return out.getvalue()


def blown_up(part: bytes, times: int = 30_000) -> bytes:
    """A part with its middle repeated: some kilobytes in the zip file, tens to hundreds of megabytes when it is read."""
    items = re.findall(rb"<(?:row|si|t)\b.*?</(?:row|si|t)>", part, re.DOTALL)
    if not items:
        return part + b" " * (times * 3000)
    return part.replace(items[-1], items[-1] * (times // 10), 1)


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


def arrays_file(random: Random, content: bytes) -> bytes:
    """A zip file of arrays (npz): its header as JSON, its arrays with other types, shapes and values."""

    def changed(random: Random, name: str, part: bytes) -> bytes:
        array = np.load(io.BytesIO(part), allow_pickle=False)
        if name == "header.npy" and random.random() < 0.9:
            array = np.array(json_file(random, str(array).encode()).decode("utf-8", "replace"))
        elif random.random() < 0.3:
            return raw(random, part, [part, *BYTES])
        else:
            array = changed_array(random, array)
        out = io.BytesIO()
        np.save(out, array, allow_pickle=True)  # an object must be refused when it is read
        return out.getvalue()

    return changed_zip(random, content, changed)


def changed_array(random: Random, array: np.ndarray) -> np.ndarray:
    act = random.randrange(6)
    if act == 0 and array.ndim:
        return array[: random.randrange(len(array) + 1)]
    if act == 1:
        return (
            array.astype(random.choice(("U5", "O", "i2", "c16", "b1", "S3"))) if array.dtype.kind in "fi" else array.astype("O")
        )
    if act == 2:
        return array[None]
    if act == 3 and array.dtype.kind == "f":
        return np.where(np.arange(array.size).reshape(array.shape) % 7 == 0, random.choice((np.nan, np.inf, -0.0, 1e10)), array)
    return array.ravel() if act == 4 else np.zeros(random.choice(((), (0,), (2, 2), (4, 20))))


def netcdf_file(random: Random, content: bytes) -> bytes:
    """A netCDF file: its attributes, and its arrays with other types, shapes and values, with the sum of its bytes as it is or made right;
    or its bytes."""
    if random.random() < 0.3:
        return raw(random, content, [content, *BYTES])
    body, seal, _ = content.rpartition(SEAL) if SEAL in content else (content, b"", b"")
    if random.random() < 0.3:
        changed = raw(random, body, [body, *BYTES])
    else:
        out = io.BytesIO(body)
        with h5py.File(out, "r+") as file:
            for _ in range(random.choice((1, 1, 2))):
                _change_netcdf(random, file)
        changed = out.getvalue()
    return changed + seal + hashlib.sha256(changed).hexdigest().encode() * bool(seal)


def _change_netcdf(random: Random, file) -> None:
    found = []
    file.visit(found.append)
    name = random.choice(["/", *found])
    place, act = file[name], random.random()
    try:
        if name == "trials/json" and act < 0.9:
            old = json.dumps(json.loads(place[()]))
            del file[name]
            file[name] = json_file(random, old.encode()).decode("utf-8", "replace")
        elif act < 0.5 and len(place.attrs):
            chosen = random.choice(sorted(place.attrs))
            old = place.attrs[chosen]
            if isinstance(old, str) and old.startswith("{"):
                place.attrs[chosen] = json_file(random, old.encode()).decode("utf-8", "replace")
            elif isinstance(old, str) and "\n" in old:
                place.attrs[chosen] = toml(random, [old]).decode("utf-8", "replace")
            elif random.random() < 0.3:
                del place.attrs[chosen]
            else:
                place.attrs[chosen] = random.choice([*TEXTS, *NUMBERS[:14], np.arange(3)])
        elif name != "/" and isinstance(place, h5py.Dataset) and act < 0.8:
            array = place[()]
            del file[name]
            if array.dtype.kind in "fi":
                file[name] = changed_array(random, array)
        elif name != "/":
            del file[name]
    except (TypeError, ValueError, OSError, KeyError, RuntimeError):  # h5py cannot write that
        pass
