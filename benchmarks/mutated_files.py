"""Binary inputs for `fuzz.py`: workbooks, zip files of arrays and netCDF files, changed at random in their parts and as raw bytes."""

import datetime
import hashlib
import io
import json
import re
import zipfile
from random import Random

import h5py
import numpy as np
import openpyxl
from mutations import BYTES, DATES, NUMBERS, TEXTS, grid, json_file, raw, toml

SEAL = b"\nstimdose sha256 "
"""What stands between a netCDF file and its SHA-256."""


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
