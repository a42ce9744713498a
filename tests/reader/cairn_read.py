#!/usr/bin/env python3
"""An independent reader of the repository format, version 1, written from docs/format.md alone.

    cairn_read.py --repository DIR --key-file FILE list
    cairn_read.py --repository DIR --key-file FILE restore SNAPSHOT TARGET
    cairn_read.py --repository DIR --key-file FILE verify
    cairn_read.py self-test

Slow, strict and read-only. Whatever the specification does not allow is refused: one line on stderr, exit code 1.
"""

import argparse
import functools
import itertools
import json
import os
import re
import stat
import struct
import sys
import unicodedata
from collections import OrderedDict
from contextlib import contextmanager
from dataclasses import dataclass

import zstandard
from argon2.low_level import Type as Argon2Type, hash_secret_raw
from blake3 import blake3
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

MAGIC = bytes.fromhex("89434149524E0D0A")
CONFIG, SLOT, ROOT, DATA, META, SEGMENT, SESSION, CELL, DECLARATION, POLICY = range(1, 11)
# The recipient of each section, by object type.
ROLES = {ROOT: ("dataset",), DATA: ("index", "data"), META: ("index", "reference", "entry"),
         SEGMENT: ("index",), SESSION: ("index",), CELL: ("reference", "entry"),
         DECLARATION: ("dataset",), POLICY: ("dataset",)}
# Where objects of the whole repository belong.
WHOLE = bytes(16)
CHECKS = ("endpoint", "pin", "parent", "tls", "region-header", "location", "owner", "replication", "acceleration", "lifecycle",
          "logging", "hint")
OUTCOMES = {1: "snapshot", 2: "checkpoint", 3: "aborted"}
FILE, DIRECTORY, SYMLINK, FIFO, CHARACTER, BLOCK, SOCKET = range(1, 8)
SPARSE, INCONSISTENT, XATTRS, LINKED, INLINE, LISTS, BORN, INODE_FLAGS = 1, 2, 4, 8, 16, 32, 64, 128
# Bits that inode flags may have.
INODE_BITS = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x20 | 0x40 | 0x80 | 0x400 | 0x4000 | 0x8000 | 0x10000 | 0x20000 | 0x800000 | 0x2000000 \
    | 0x20000000 | 0x40000000
MIB = 1 << 20
PROVINCES = set("AB BC MB NB NL NS NT NU ON PE QC SK YT".split())


class Damaged(Exception):
    """The repository is not what the specification says, or the secret does not fit."""


def require(condition, problem):
    if not condition:
        raise Damaged(problem)


@contextmanager
def naming(name):
    """Puts the name of an object or path before the message of what goes wrong inside."""
    try:
        yield
    except (Damaged, OSError, OverflowError) as problem:
        message = str(problem)
        raise Damaged(message if message.startswith(name) else f"{name}: {message}") from None


# --- Primitives ---------------------------------------------------------------------------------------------------------------

def derive(context, *material, length=32):
    return blake3(b"".join(material), derive_key_context=context).digest(length=length)


def keyed(key, data):
    return blake3(data, key=key).digest()


def aead_open(key, sealed, associated, number=0):
    require(len(sealed) >= 16, "a sealed message is shorter than its tag")
    try:
        return ChaCha20Poly1305(key).decrypt(bytes(4) + struct.pack("<Q", number), sealed, associated)
    except InvalidTag:
        raise Damaged("a sealed message does not open") from None


def check_signature(data, host_key):
    """The last 64 bytes of an object are the host's signature of what precedes them."""
    check_signed_hash(blake3(data[:-64]).digest(), data[-64:], host_key)


def check_signed_hash(digest, signature, host_key):
    try:
        Ed25519PublicKey.from_public_bytes(host_key).verify(signature, b"cairn v1 signature" + digest)
    except (InvalidSignature, ValueError):
        raise Damaged("the signature does not verify") from None


def padme(length):
    if length < 2:
        return length
    e = length.bit_length() - 1
    unit = 1 << max(0, e - e.bit_length())  # S = floor(log2 E) + 1 is the bit length of E
    return -(-length // unit) * unit


def unpad(plaintext):
    """The content of a small object's message or of a trailer."""
    r = Cursor(plaintext)
    content = r.take(r.u32())
    require(len(plaintext) == max(256, padme(len(content) + 4)), "a message is padded to a wrong length")
    require(not any(r.rest()), "a message's padding is not zeros")
    return content


def expand(part, expected):
    """The data of a blob's part, which must come to exactly `expected` bytes."""
    codec, data = part[:1], part[1:]
    if codec == b"\1":
        require(data[:4] == b"\x28\xb5\x2f\xfd", "a compressed blob is not a zstd frame")
        try:
            told = zstandard.get_frame_parameters(data).content_size
            require(told in (expected, zstandard.CONTENTSIZE_UNKNOWN), "a zstd frame states another length than the index")
            data = zstandard.ZstdDecompressor().decompress(data, max_output_size=max(1, expected), allow_extra_data=False)
        except zstandard.ZstdError as problem:
            raise Damaged(f"a blob does not expand: {problem}") from None
    else:
        require(codec == b"\0", "unknown codec of a blob")
    require(len(data) == expected, "a blob expands to another length than its chunks have")
    return data


class Cursor:
    """Reads values one after the other; refuses to read beyond the end."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, length):
        require(length <= len(self.data) - self.at, "cut short")
        self.at += length
        return self.data[self.at - length:self.at]

    def rest(self):
        return self.take(len(self.data) - self.at)

    def number(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    u8, u16 = functools.partialmethod(number, "<B"), functools.partialmethod(number, "<H")
    u32, i64 = functools.partialmethod(number, "<I"), functools.partialmethod(number, "<q")

    def varint(self, limit=2**64 - 1):
        value = shift = 0
        while True:
            byte = self.u8()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
            require(shift < 70, "a varint of more than 10 bytes")
        require(byte or shift == 7, "a varint is not in its shortest form")
        require(value < 2**64, "a varint of more than 64 bits")
        require(value <= limit, f"the number {value} is beyond its limit {limit}")
        return value

    def signed(self):
        value = self.varint()
        return value >> 1 ^ -(value & 1)

    def bytes(self):
        return self.take(self.varint())

    def text(self, limit):
        """One line of UTF-8."""
        length = self.varint(limit)
        try:
            text = self.take(length).decode()
        except UnicodeDecodeError:
            raise Damaged("a text is not UTF-8") from None
        require(not any(unicodedata.category(c) == "Cc" for c in text), "a text holds control characters")
        return text

    def many(self, read, limit=2**64 - 1):
        return [read() for _ in range(self.varint(limit))]

    def flag(self):
        value = self.u8()
        require(value <= 1, "a presence byte is neither 0 nor 1")
        return value == 1

    def nanoseconds(self, value):
        require(value < 10**9, "nanoseconds of 10^9 or more")
        return value

    def time(self):
        return self.i64(), self.nanoseconds(self.u32())

    def end(self):
        require(self.at == len(self.data), "bytes left over")


def bech32m(text):
    """Prefix and 5-bit values of a bech32m text (BIP 350)."""
    require(all(33 <= ord(c) <= 126 for c in text), "bech32m: a character out of range")
    require(text in (text.lower(), text.upper()), "bech32m: mixed case")
    require(8 <= len(text) <= 90, "bech32m: wrong length")
    prefix, separator, rest = text.lower().rpartition("1")
    require(separator and prefix and len(rest) >= 6, "bech32m: no prefix or too short a checksum")
    values = ["qpzry9x8gf2tvdw0s3jn54khce6mua7l".find(c) for c in rest]
    require(-1 not in values, "bech32m: a character outside the alphabet")
    check = 1
    for value in [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix] + values:
        top, check = check >> 25, (check & 0x1FFFFFF) << 5 ^ value
        for i, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= generator if top >> i & 1 else 0
    require(check == 0x2BC830A3, "bech32m: wrong checksum")
    return prefix, values[:-6]


def secret_of_text(text):
    """The kind of slot that a textual secret fits, and its 32 bytes."""
    prefix, values = bech32m("".join(text.split()))
    require(prefix in ("cairn-key", "cairn-recovery"), "the secret has an unknown prefix")
    require(len(values) == 52 and values[-1] & 15 == 0, "the secret is not of 32 bytes")
    return 1 if prefix == "cairn-key" else 3, (functools.reduce(lambda n, v: n << 5 | v, values) >> 4).to_bytes(32, "big")


# --- Stored objects -----------------------------------------------------------------------------------------------------------

class Store:
    """A directory of objects."""

    def __init__(self, directory):
        require(os.path.isdir(directory), f"{directory}: no such directory")
        self.directory = directory

    def names(self, prefix):
        found = []
        for at, _, files in os.walk(os.path.join(self.directory, prefix)):
            found += [os.path.relpath(os.path.join(at, file), self.directory) for file in files]
        return sorted(found)

    def size(self, name):
        try:
            return os.stat(os.path.join(self.directory, name)).st_size
        except FileNotFoundError:
            raise Damaged(f"{name}: missing") from None

    def read(self, name, offset=0, length=None):
        limit = 192 * MIB if re.match(r"d/[^/]*/(packs|meta)/", name) else 32 * MIB
        require(self.size(name) <= limit, f"{name}: larger than any such object")
        with open(os.path.join(self.directory, name), "rb") as file:
            file.seek(offset)
            data = file.read() if length is None else file.read(length)
        require(length in (None, len(data)), f"{name}: cut short")
        return data


def object_start(r, kind, repository):
    require(r.take(8) == MAGIC, "wrong magic")
    require(r.u16() == 1, "unknown version")
    require(r.u8() == kind, "wrong type of object")
    require(r.u8() == 1, "unknown suite")
    require(r.u32() == 0, "unknown mandatory flags")
    require(r.take(16) == repository, "an object of another repository")


class Header:
    """The header of a sealed object; opens the messages of its sections."""

    def __init__(self, data, kind, dataset, keys, epoch=None):
        r = Cursor(data)
        object_start(r, kind, keys.repository)
        require(r.take(16) == dataset, "an object of another dataset")
        self.dataset, self.kind, self.keys, self.epoch = dataset, kind, keys, r.u32()
        require(epoch in (None, self.epoch), "an object of another epoch")
        sections, stanzas, self.length = r.u8(), r.u8(), r.u16()
        require(sections == len(ROLES[kind]), "wrong number of sections")
        require(stanzas <= 24, "too many stanzas")
        r.take(32)
        self.fixed = data[:88]
        self.commitments = [r.take(32) for _ in range(sections)]
        self.stanzas = []
        for _ in range(stanzas):
            section, form, length = r.u8(), r.u8(), r.u16()
            name, wrapped = r.take(8), r.take(length)
            require(section < sections, "a stanza of an unknown section")
            require(form != 1 or length == 48, "a stanza of wrong length")
            self.stanzas.append((section, form, name, wrapped))
        require(r.at == self.length, "the header has another length than it states")
        self.hash = blake3(data[:self.length]).digest()
        self.section_keys = {}

    def unlock(self, section):
        recipient = self.keys.recipient(ROLES[self.kind][section], self.dataset, self.epoch)
        name = derive("cairn v1 recipient id", recipient)[:8]
        number = bytes([section])
        for at, form, whose, wrapped in self.stanzas:
            if (at, form, whose) == (section, 1, name):
                wrapping = derive("cairn v1 wrap", recipient, self.fixed, number)
                secret = aead_open(wrapping, wrapped, self.fixed + number + b"\1" + name)
                derived = derive("cairn v1 section", secret, self.fixed, number, length=64)
                require(derived[32:] == self.commitments[section], f"the commitment of section {section} does not match")
                return derived[:32]
        raise Damaged(f"section {section} is not wrapped for the {ROLES[self.kind][section]} recipient")

    def open(self, section, number, sealed):
        if section not in self.section_keys:
            self.section_keys[section] = self.unlock(section)
        associated = self.hash + bytes([section]) + struct.pack("<Q", number)
        return aead_open(self.section_keys[section], sealed, associated, number)

    def contents(self, data):
        """Cursors over the contents of a small object's sections. What follows the last message must be a signature or nothing."""
        r = Cursor(data)
        r.take(self.length)
        found = [Cursor(unpad(self.open(s, s, r.take(r.u32())))) for s in range(len(ROLES[self.kind]))]
        require(len(r.rest()) == (64 if self.kind in (SESSION, CELL, DECLARATION, POLICY) else 0), "bytes left over")
        return found


# --- Configuration, slots and keys --------------------------------------------------------------------------------------------

@dataclass
class Slot:
    """A key slot before it is opened."""
    name: str
    clear: bytes
    kind: int
    argon2: tuple
    salt: bytes
    commitment: bytes
    payload: bytes
    before_notes: bytes
    notes: bytes


class Keys:
    """The repository's configuration and every key that follows from one secret."""

    def __init__(self, store, kind, secret):
        self.store = store
        names = store.names("config")
        require(len(names) == 1, f"config: {len(names)} configurations instead of one")
        require(re.fullmatch(r"config/[0-9a-f]{32}", names[0]), f"{names[0]}: not a repository id")
        self.repository = bytes.fromhex(names[0][7:])
        self.roots, self.first_problem = {}, "no key slot of this kind opens with this secret"
        self.master = self.open_slots(kind, secret)
        with naming(names[0]):
            self.read_config(store.read(names[0]))

    def read_config(self, data):
        r = Cursor(data)
        object_start(r, CONFIG, self.repository)
        self.dataset, self.epoch, self.created = r.take(16), r.u32(), r.time()
        require(r.u8() == 1, "unknown cutting algorithm")
        require(12 <= r.u8() <= 22, "the average chunk length is beyond its limits")
        pin = r.bytes().decode("ascii", "replace").split(",")
        require(pin == ["CA"] or pin == sorted(set(pin) & PROVINCES), "the pin is not in its one form")
        authenticated = data[:r.at]
        mac = r.take(32)
        r.end()
        require(mac == keyed(derive("cairn v1 config mac", self.master, self.repository), authenticated), "wrong MAC")

    def parse_slot(self, name):
        r = Cursor(self.store.read(name))
        object_start(r, SLOT, self.repository)
        require(name == f"keys/slots/{r.take(16).hex()}", "its id is not its name")
        kind, argon2, salt = r.u8(), (r.u32(), r.u32(), r.u32()), r.take(32)
        require(1 <= kind <= 3, "unknown kind of slot")
        memory, passes, lanes = argon2
        if kind == 2:
            require(65536 <= memory <= MIB and 3 <= passes <= 64 and 1 <= lanes <= 16, "Argon2 parameters beyond their limits")
        else:
            require(argon2 == (0, 0, 0), "Argon2 parameters without a password")
        commitment, payload = r.take(32), r.take(r.u32())
        before_notes = r.data[: 93 + 32 + 4 + len(payload)]
        slot = Slot(name, r.data[:93], kind, argon2, salt, commitment, payload, before_notes, r.take(r.u32()))
        r.end()
        return slot

    def open_slots(self, kind, secret):
        """The master key, from the first slot that the secret opens. Damaged slots count only if none opens."""
        for name in self.store.names("keys/slots"):
            try:
                with naming(name):
                    slot = self.parse_slot(name)
                    if slot.kind == kind and (master := self.open_slot(slot, secret)):
                        return master
            except Damaged as problem:
                self.first_problem = str(problem)
        raise Damaged(self.first_problem)

    def open_slot(self, slot, secret):
        if slot.kind == 2:
            memory, passes, lanes = slot.argon2
            secret = hash_secret_raw(secret, slot.salt, passes, memory, lanes, 32, Argon2Type.ID, version=0x13)
        derived = derive("cairn v1 slot", secret, slot.clear, length=64)
        if derived[32:] != slot.commitment:
            return None
        r = Cursor(aead_open(derived[:32], slot.payload, slot.clear))
        master = r.take(32)
        for dataset, epoch, root in r.many(lambda: (r.take(16), r.u32(), r.take(32))):
            require(self.roots.setdefault((dataset, epoch), root) == root, "two roots of one epoch")
        r.end()
        return master

    def check_notes(self, name):
        """Slots of other secrets do not open, but their notes are sealed under the master key."""
        slot = self.parse_slot(name)
        r = Cursor(aead_open(derive("cairn v1 slot notes", self.master, slot.clear), slot.notes, slot.before_notes))
        for text in (r.bytes(), r.bytes(), r.bytes()):
            require(text.decode("utf-8", "replace").encode() == text, "a note is not UTF-8")
        r.time()
        if r.flag():
            r.time()
        r.end()

    def root(self, dataset, epoch, stored=False):
        """A dataset root: the slot's copy, or else the stored object."""
        if stored or (dataset, epoch) not in self.roots:
            name = f"keys/datasets/{dataset.hex()}-{epoch}"
            data = self.store.read(name)
            with naming(name):
                (r,) = Header(data, ROOT, dataset, self, epoch).contents(data)
                root = r.take(32)
                r.end()
                require(self.roots.setdefault((dataset, epoch), root) == root, "the root differs from the slot's copy")
        return self.roots[dataset, epoch]

    def check_declaration(self, name):
        """A declaration of a site: its name, its number, both signatures."""
        data = self.store.read(name)
        with naming(name):
            (r,) = Header(data, DECLARATION, WHOLE, self, 0).contents(data)
            number, host, declarer, signature = r.u32(), r.take(32), r.take(32), r.take(64)
            start = r.at
            site = r.text(63)
            require(re.fullmatch("[a-z][a-z0-9-]*", site), "not the name of a site")
            require(re.fullmatch(r"https?://[a-z0-9.:\[\]-]+", r.text(272)), "not an origin")
            r.text(1024)
            require(r.u8() in (1, 2), "unknown addressing")
            r.text(1024), r.text(1024)
            require(r.u8() in (0, 1, 2), "unknown answer")
            r.text(1024), r.text(1024)
            require(r.take(2).decode("ascii", "replace") in PROVINCES, "not a province")
            r.text(1024)
            certificates = r.bytes()
            require(len(certificates) <= 65536 and re.fullmatch(rb"[\n -~]*", certificates), "not certificates")
            r.time(), r.text(1024)
            statement = r.data[start:r.at]
            r.end()
            require(name == f"sites/{site}-{number}" and number > 0, "its name and number are not its name")
            check_signature(data, host)
            check_signed_hash(blake3(b"cairn v1 declaration" + statement).digest(), signature, declarer)

    def check_policy(self, name):
        """A policy: its number, its pin, its signature."""
        data = self.store.read(name)
        with naming(name):
            (r,) = Header(data, POLICY, WHOLE, self, 0).contents(data)
            number, host = r.u32(), r.take(32)
            r.time(), r.text(1024)
            pin = r.text(64)
            places = pin.split(",")
            require(pin == "CA" or places == sorted(set(places) & PROVINCES), "not a pin")
            r.flag()
            for _ in range(r.varint(64)):
                r.text(1024)
                require(r.text(1024) in CHECKS, "unknown check")
                r.text(1024), r.text(1024), r.time()
            r.end()
            require(name == f"policy/{number}" and number > 0, "its number is not its name")
            check_signature(data, host)

    @functools.cache
    def derived(self, context, dataset, epoch):
        return derive(context, self.root(dataset, epoch), dataset, struct.pack("<I", epoch))

    def recipient(self, role, dataset, epoch):
        if role == "dataset":
            return derive("cairn v1 dataset recipient", self.master, self.repository)
        return self.derived(f"cairn v1 {role} recipient", dataset, epoch)


# --- Packs and segments -------------------------------------------------------------------------------------------------------

@dataclass
class Blob:
    number: int
    parts: list   # offset and stored length of each part
    chunks: list  # key and plaintext length in each part


@dataclass
class Pack:
    id: bytes
    kind: int
    size: int
    header: int
    blobs: list


def read_blobs(r, kind, header):
    """The *blobs* of a trailer or segment; offsets follow from the header's length."""
    parts, offset, numbers = (1 if kind == DATA else 2), header, set()

    def blob():
        nonlocal offset
        number, places = r.varint(), []
        for length in [r.varint(192 * MIB) for _ in range(parts)]:
            places.append((offset, length))
            offset += length
        chunks = r.many(lambda: (r.take(16), [r.varint(16 * MIB) for _ in range(parts)]), 65535)
        require(chunks, "a blob without chunks")
        require(number not in numbers, "a message number is used twice")
        numbers.add(number)
        for part in range(parts):
            require(sum(lengths[part] for _, lengths in chunks) <= 16 * MIB, "a blob expands to more than 16 MiB")
        return Blob(number, places, chunks)

    return r.many(blob)


def open_blob(header, blob, fetch):
    """For each chunk of a blob, its plaintext in each part."""
    split = []
    for part, (offset, length) in enumerate(blob.parts):
        lengths = [chunk[1][part] for chunk in blob.chunks]
        r = Cursor(expand(header.open(part + 1, blob.number, fetch(offset, length)), sum(lengths)))
        split.append([r.take(n) for n in lengths])
    return list(zip(*split))


def identity(header, parts):
    """The whole id of a chunk (one part), or of a tree or list (references, entries)."""
    if header.kind == DATA:
        return keyed(header.keys.derived("cairn v1 chunk id", header.dataset, header.epoch), parts[0])
    key = header.keys.derived("cairn v1 tree id", header.dataset, header.epoch)
    return keyed(key, struct.pack("<Q", len(parts[0])) + parts[0] + parts[1])


# --- Trees --------------------------------------------------------------------------------------------------------------------

@dataclass
class Node:
    name: bytes
    type: int
    flags: int
    mode: int
    owner: tuple          # uid, gid, user name, group name
    mtime: tuple
    ctime: tuple
    inode: int
    device: int = 0
    btime: tuple = None
    inode_flags: int = 0
    size: int = 0
    inline: bytes = b""
    ids: tuple = ()       # chunks; with flag LISTS, lists; of a directory, its tree
    target: bytes = b""
    numbers: tuple = ()   # of a device: major, minor
    xattrs: tuple = ()


def read_references(data):
    r = Cursor(data)
    kind = r.u8()
    require(1 <= kind <= 3, "unknown kind of tree")
    trees, chunks = r.many(lambda: r.take(32)), r.many(lambda: r.take(32))
    r.end()
    return kind, trees, chunks


def wrap(value):
    """A sum of 64-bit differences, as i64."""
    return (value + 2**63) % 2**64 - 2**63


def read_leaf(trees, chunks, entries):
    r, trees, chunks = Cursor(entries), iter(trees), iter(chunks)
    owners = r.many(lambda: (r.varint(), r.varint(), r.bytes(), r.bytes()))
    name, seconds, inode = None, 0, 0

    def following(ids, count):
        found = tuple(itertools.islice(ids, min(count, 2**31)))
        require(len(found) == count, "more ids used than the references hold")
        return found

    def one():
        nonlocal name, seconds, inode
        previous, shared = name or b"", r.varint(255)
        require(shared <= len(previous), "a name shares more than the previous name has")
        rest = r.bytes()
        require(rest[:1] != previous[shared:shared + 1] or not rest, "a name shares less than it could")
        full = previous[:shared] + rest
        require(name is None or full > name, f"names out of order at {full!r}")
        require(1 <= len(full) <= 255 and b"/" not in full and b"\0" not in full and full not in (b".", b".."), f"bad name {full!r}")
        name = full
        kind, flags = r.u8(), r.u8()
        require(1 <= kind <= 7, f"unknown type of {name!r}")
        require(flags & (INLINE | LISTS) != INLINE | LISTS, f"unknown flags of {name!r}")
        require(kind == FILE or not flags & ~(XATTRS | LINKED | BORN | INODE_FLAGS), f"flags of a file at {name!r}")
        require(kind in (FILE, DIRECTORY) or not flags & INODE_FLAGS, f"inode flags of {name!r}")
        mode, owner = r.varint(0o7777), r.varint()
        require(owner < len(owners), f"unknown owner of {name!r}")
        seconds = wrap(seconds + r.signed())
        mtime = seconds, r.nanoseconds(r.varint())
        ctime = wrap(seconds + r.signed()), r.nanoseconds(r.varint())
        inode = (inode + r.signed()) % 2**64
        node = Node(name, kind, flags, mode, owners[owner], mtime, ctime, inode)
        if flags & LINKED:
            require(r.varint() >= 2, f"several links of {name!r} are fewer than 2")
            node.device = r.varint()
        if flags & BORN:
            node.btime = wrap(ctime[0] + r.signed()), r.nanoseconds(ctime[1] + r.signed())
            require(node.btime[1] >= 0, f"born at negative nanoseconds: {name!r}")
        if flags & INODE_FLAGS:
            node.inode_flags = r.varint()
            require(node.inode_flags and not node.inode_flags & ~INODE_BITS, f"unknown inode flags of {name!r}")
        if kind == FILE:
            node.size = r.varint()
            if flags & INLINE:
                require(node.size <= 512, f"too much inline content of {name!r}")
                node.inline = r.take(node.size)
            elif flags & LISTS:
                node.ids = following(trees, r.varint())
            else:
                node.ids = following(chunks, r.varint(1024))
        elif kind == DIRECTORY:
            node.ids = following(trees, 1)
        elif kind == SYMLINK:
            node.target = r.bytes()
        elif kind in (CHARACTER, BLOCK):
            node.numbers = r.varint(), r.varint()
        if flags & XATTRS:
            node.xattrs = tuple(r.many(lambda: (r.bytes(), r.bytes())))
            names = [key for key, _ in node.xattrs]
            require(names and names == sorted(set(names)), f"extended attributes of {name!r} missing or out of order")
        return node

    nodes = r.many(one, 8192)
    r.end()
    require(next(trees, None) is None and next(chunks, None) is None, "ids left over in the references")
    return nodes


# --- Datasets -----------------------------------------------------------------------------------------------------------------

@dataclass
class Cell:
    id: str
    hash: bytes
    outcome: int
    host_key: bytes
    counter: int
    previous: bytes
    parent: bytes
    root: bytes
    segments: list
    times: list
    host: bytes
    user: bytes
    program: bytes
    purpose: bytes
    paths: list
    tags: list
    excludes: list
    statistics: list
    failures: list


class Dataset:
    """The cells of one dataset, its view, and what the view leads to."""

    def __init__(self, keys, name):
        require(re.fullmatch("[0-9a-f]{32}", name), f"d/{name}: not a dataset id")
        self.keys, self.store, self.id, self.base = keys, keys.store, bytes.fromhex(name), f"d/{name}"
        self.cells = [self.read_cell(name) for name in self.store.names(f"{self.base}/snapshots")]
        self.headers, self.cache, self.cached = {}, OrderedDict(), 0

    def read_cell(self, name):
        data = self.store.read(name)
        with naming(name):
            a, b = Header(data, CELL, self.id, self.keys).contents(data)
            outcome = a.u8()
            require(outcome in OUTCOMES, "unknown outcome")
            require(name == f"{self.base}/snapshots/{a.take(16).hex()}", "its session id is not its name")
            host_key, counter, previous = a.take(32), a.varint(), a.take(32)
            parent = a.take(16) if a.flag() else b""
            root, segments = a.take(32), a.many(lambda: a.take(32))
            if a.flag():  # where the host's log stood
                a.take(16), a.varint(), a.take(32)
            a.end()
            check_signature(data, host_key)
            require(counter >= 1, "counters begin with 1")
            cell = Cell(name[-32:], blake3(data).digest(), outcome, host_key, counter, previous, parent, root, segments,
                        [b.time(), b.time(), b.time()], b.bytes(), b.bytes(), b.bytes(), b.bytes(),
                        b.many(b.bytes), b.many(b.bytes), b.many(b.bytes), [b.varint() for _ in range(17)],
                        b.many(lambda: (b.bytes(), b.bytes())))
            b.end()
            return cell

    def read_session(self, name):
        """The host key of a session."""
        data = self.store.read(name)
        with naming(name):
            (r,) = Header(data, SESSION, self.id, self.keys).contents(data)
            require(name == f"{self.base}/sessions/{r.take(16).hex()}", "its session id is not its name")
            host_key = r.take(32)
            r.bytes(), r.time(), r.end()
            check_signature(data, host_key)
            return host_key

    def read_segment(self, segment):
        name = f"{self.base}/index/{segment.hex()}"
        data = self.store.read(name)
        with naming(name):
            require(blake3(data).digest() == segment, "its hash is not its name")
            (r,) = Header(data, SEGMENT, self.id, self.keys).contents(data)

            def pack():
                found = Pack(r.take(32), r.u8(), r.varint(192 * MIB), r.varint(65535), [])
                require(found.kind in (DATA, META), "a pack of unknown type")
                found.blobs = read_blobs(r, found.kind, found.header)
                return found

            packs = r.many(pack)
            r.end()
            return packs

    def load_view(self):
        """The union of the segments named by snapshots and checkpoints."""
        self.packs, self.view = {}, {DATA: {}, META: {}}
        for segment in sorted({s for cell in self.cells if cell.outcome != 3 for s in cell.segments}):
            for pack in self.read_segment(segment):
                if self.packs.setdefault(pack.id, pack) is not pack:
                    require(self.packs[pack.id] == pack, f"{self.base}/index/{segment.hex()}: pack {pack.id.hex()} differs "
                            "from another segment's")
                    continue
                for blob in pack.blobs:
                    for i, (key, _) in enumerate(blob.chunks):
                        self.view[pack.kind].setdefault(key, []).append((pack, blob, i))

    def pack_name(self, pack):
        return f"{self.base}/{'packs' if pack.kind == DATA else 'meta'}/{pack.id.hex()[:2]}/{pack.id.hex()}"

    def blob(self, pack, blob):
        """The header of the pack, and the split plaintexts of a blob, through a small cache."""
        name = self.pack_name(pack)
        with naming(name):
            if pack.id not in self.headers:
                require(self.store.size(name) == pack.size, "another size than in the index")
                header = Header(self.store.read(name, 0, pack.header), pack.kind, self.id, self.keys)
                require(header.length == pack.header, "another header length than in the index")
                self.headers[pack.id] = header
            place = pack.id, blob.number
            if place not in self.cache:
                self.cache[place] = open_blob(self.headers[pack.id], blob, functools.partial(self.store.read, name))
                self.cached += sum(len(part) for chunk in self.cache[place] for part in chunk)
                while self.cached > 64 * MIB and len(self.cache) > 1:
                    self.cached -= sum(len(part) for chunk in self.cache.popitem(last=False)[1] for part in chunk)
            self.cache.move_to_end(place)
            return self.headers[pack.id], self.cache[place]

    def find(self, kind, wanted):
        """The parts of a chunk, or of a tree or list, whose whole id is recomputed."""
        what = "chunk" if kind == DATA else "tree"
        places = self.view[kind].get(wanted[:16], ())
        require(places, f"{what} {wanted.hex()} is in no pack of the view")
        for pack, blob, i in places:
            header, chunks = self.blob(pack, blob)
            if identity(header, chunks[i]) == wanted:
                return chunks[i]
        raise Damaged(f"{self.pack_name(places[0][0])}: what is stored for {what} {wanted.hex()} has another id")

    def directory(self, tree):
        """All nodes of a directory."""
        with naming(f"tree {tree.hex()}"):
            references, entries = self.find(META, tree)
            kind, trees, chunks = read_references(references)
            if kind == 1:
                return read_leaf(trees, chunks, entries)
            require(kind == 2, "a list stands for a directory")
            r = Cursor(entries)
            first = r.many(r.bytes)
            r.end()
            require(len(first) >= 2 and len(first) == len(trees) and not chunks, "pages, names and references differ in number")
            nodes = []
            for name, page in zip(first, trees):
                with naming(f"page {page.hex()}"):
                    references, entries = self.find(META, page)
                    kind, inner, chunks = read_references(references)
                    require(kind == 1, "a page is not a leaf")
                    leaf = read_leaf(inner, chunks, entries)
                    require(leaf and leaf[0].name == name, "a page begins with another name than stated")
                    require(not nodes or nodes[-1].name < name, "pages out of order")
                    nodes += leaf
            return nodes

    def file_chunks(self, node):
        """The chunk ids of a file, through its lists if it has them."""
        if not node.flags & LISTS:
            yield from node.ids
            return
        for tree in node.ids:
            with naming(f"list {tree.hex()}"):
                references, entries = self.find(META, tree)
                kind, trees, chunks = read_references(references)
                require(kind == 3 and not trees and not entries and len(chunks) <= 8192, "not a list")
            yield from chunks


# --- Commands -----------------------------------------------------------------------------------------------------------------

def open_repository(arguments):
    with open(arguments.key_file or arguments.password_file, "rb") as file:
        secret, kind = file.read(), 2
    if arguments.key_file:
        kind, secret = secret_of_text(secret.decode("ascii", "replace"))
    else:
        secret = re.sub(rb"\r?\n\Z", b"", secret)
    keys = Keys(Store(arguments.repository), kind, secret)
    return keys, [Dataset(keys, name) for name in sorted(os.listdir(os.path.join(arguments.repository, "d")))]


def text(value):
    return value.decode("utf-8", "surrogateescape")


def list_command(arguments):
    _, datasets = open_repository(arguments)
    for cell, dataset in sorted(((c, d) for d in datasets for c in d.cells), key=lambda pair: (pair[0].times[0], pair[0].id)):
        print(json.dumps({
            "id": cell.id, "outcome": OUTCOMES[cell.outcome], "dataset": dataset.id.hex(), "time": cell.times[0],
            "started": cell.times[1], "ended": cell.times[2], "host": text(cell.host), "user": text(cell.user),
            "program": text(cell.program), "purpose": text(cell.purpose), "paths": [text(p) for p in cell.paths],
            "tags": [text(t) for t in cell.tags], "excludes": [text(e) for e in cell.excludes], "counter": cell.counter,
            "parent": cell.parent.hex() or None, "host_key": cell.host_key.hex(), "root": cell.root.hex(),
            "segments": [s.hex() for s in cell.segments], "statistics": cell.statistics,
            "failures": [[text(path), text(message)] for path, message in cell.failures]}))


def choose(datasets, wanted):
    cells = [(cell, dataset) for dataset in datasets for cell in dataset.cells]
    if wanted == "latest":
        cells = sorted((c for c in cells if c[0].outcome == 1), key=lambda c: (c[0].times[0], c[0].id))[-1:]
    else:
        cells = [c for c in cells if c[0].id.startswith(wanted)]
    require(len(cells) == 1, f"{wanted}: {len(cells)} cells fit instead of one")
    require(cells[0][0].outcome != 3, f"{wanted}: an aborted session has no tree")
    return cells[0]


def descend(top, parts):
    """Opens a directory below `top` name by name, so that neither links nor the length of a path matter."""
    at = os.dup(top)
    for part in parts:
        below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
        os.close(at)
        at = below
    return at


def apply_metadata(node, at, skipped):
    if os.geteuid() == 0:
        os.chown(node.name, node.owner[0], node.owner[1], dir_fd=at, follow_symlinks=False)
    for key, value in node.xattrs:
        try:
            os.setxattr(b"/proc/self/fd/%d/%s" % (at, node.name), key, value, follow_symlinks=False)
        except (OSError, ValueError):
            skipped.append(f"extended attribute {text(key)} of {text(node.name)}")
    if node.type != SYMLINK:
        os.chmod(node.name, node.mode, dir_fd=at)
    if node.inode_flags:
        skipped.append(f"inode flags of {text(node.name)}")
    mtime = node.mtime[0] * 10**9 + node.mtime[1]
    os.utime(node.name, ns=(mtime, mtime), dir_fd=at, follow_symlinks=False)


def write_file(dataset, node, at):
    with open(os.open(node.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=at), "wb") as file:
        file.write(node.inline)
        for chunk in dataset.file_chunks(node):
            (data,) = dataset.find(DATA, chunk)
            if node.flags & SPARSE and not any(data):
                file.seek(len(data), os.SEEK_CUR)
            else:
                file.write(data)
        require(file.tell() == node.size, "its content has another length than its size")
        file.truncate()


def restore_command(arguments):
    _, datasets = open_repository(arguments)
    cell, dataset = choose(datasets, arguments.snapshot)
    dataset.load_view()
    os.umask(0o077)
    os.makedirs(arguments.target, exist_ok=True)
    require(not os.listdir(arguments.target), f"{arguments.target}: not empty")
    top = os.open(arguments.target, os.O_RDONLY | os.O_DIRECTORY)
    waiting, made, links, skipped, count = [((), cell.root)], [], {}, [], 0
    while waiting:
        parts, tree = waiting.pop()
        here = "/" + "/".join(map(text, parts))
        with naming(here):
            nodes = dataset.directory(tree)
        at = descend(top, parts)
        for node in nodes:
            with naming(f"{here.rstrip('/')}/{text(node.name)}"):
                count += 1
                place = parts + (node.name,)
                if node.type == DIRECTORY:
                    os.mkdir(node.name, 0o700, dir_fd=at)
                    made.append((place, node))
                    waiting.append((place, node.ids[0]))
                    continue
                if node.type in (CHARACTER, BLOCK) and os.geteuid():
                    skipped.append(f"device {here.rstrip('/')}/{text(node.name)}")
                    continue
                if node.flags & LINKED and (first := links.setdefault((node.device, node.inode), place)) is not place:
                    other = descend(top, first[:-1])
                    os.link(first[-1], node.name, src_dir_fd=other, dst_dir_fd=at, follow_symlinks=False)
                    os.close(other)
                    continue
                if node.type == FILE:
                    write_file(dataset, node, at)
                elif node.type == SYMLINK:
                    require(node.target and b"\0" not in node.target, "a bad target")
                    os.symlink(node.target, node.name, dir_fd=at)
                elif node.type == FIFO:
                    os.mkfifo(node.name, 0o600, dir_fd=at)
                else:
                    form = {SOCKET: stat.S_IFSOCK, CHARACTER: stat.S_IFCHR, BLOCK: stat.S_IFBLK}[node.type]
                    os.mknod(node.name, form | 0o600, os.makedev(*(node.numbers or (0, 0))), dir_fd=at)
                apply_metadata(node, at, skipped)
        os.close(at)
    for place, node in reversed(made):  # below before above: writing into a directory changes its times
        with naming("/" + "/".join(map(text, place))):
            at = descend(top, place[:-1])
            apply_metadata(node, at, skipped)
            os.close(at)
    print(json.dumps({"restored": cell.id, "nodes": count, "skipped": skipped}))


def verify_pack(dataset, name, sessions):
    """Everything in one pack: hash, signature, padding, trailer, blobs and keys. Returns it with the whole ids it holds."""
    data = dataset.store.read(name)
    kind, folder, hexadecimal = name.split("/", 2)[2].split("/")[-3:]
    kind = DATA if kind == "packs" else META
    require(blake3(data).hexdigest() == hexadecimal and folder == hexadecimal[:2], "its hash is not its name")
    require(len(data) >= 16384 and data[-72:-64] == MAGIC, "no end of a pack")
    header = Header(data, kind, dataset.id, dataset.keys)
    length = struct.unpack("<I", data[-76:-72])[0]
    start = len(data) - 84 - length
    require(start >= header.length, "the trailer begins before the header's end")
    number = struct.unpack("<Q", data[start:start + 8])[0]
    r = Cursor(unpad(header.open(0, number, data[start + 8:-76])))
    session, host_key = r.take(16), r.take(32)
    pack = Pack(bytes.fromhex(hexadecimal), kind, len(data), header.length, read_blobs(r, kind, header.length))
    r.end()
    check_signature(data, host_key)
    require(sessions.get(session, host_key) == host_key, "another host key than its session's")
    end = sum(pack.blobs[-1].parts[-1]) if pack.blobs else header.length
    require(end <= start, "the blobs reach into the trailer")
    require(len(data) == max(16384, padme(len(data) - (start - end))), "padded to a wrong length")
    ids = {}
    for blob in pack.blobs:
        with naming(f"blob {blob.number}"):
            for (key, lengths), parts in zip(blob.chunks, open_blob(header, blob, lambda at, n: data[at:at + n])):
                whole = identity(header, parts)
                require(whole[:16] == key, f"the chunk with key {key.hex()} has id {whole.hex()}")
                ids[whole] = lengths[0]
    return pack, ids


def verify_chains(dataset):
    """Each host's cells form a chain. Returns the places of cells that are not there any more."""
    cells, missing = {}, []
    for cell in dataset.cells:
        other = cells.setdefault((cell.host_key, cell.counter), cell)
        require(other is cell, f"{dataset.base}/snapshots/{cell.id}: the same counter as {other.id}")
    for (host, counter), cell in cells.items():
        with naming(f"{dataset.base}/snapshots/{cell.id}"):
            before = cells.get((host, counter - 1))
            require((counter == 1) == (cell.previous == bytes(32)), "a previous cell does not fit the counter")
            require(not before or before.hash == cell.previous, "the hash of the previous cell does not match")
        if counter > 1 and not before:
            missing.append([host.hex(), counter - 1])
    return missing


def verify_tree(dataset, cell, sizes, seen):
    waiting = [("/", cell.root)]
    while waiting:
        path, tree = waiting.pop()
        if tree in seen:
            continue
        seen.add(tree)
        with naming(path):
            nodes = dataset.directory(tree)
        for node in nodes:
            place = f"{path.rstrip('/')}/{text(node.name)}"
            if node.type == DIRECTORY:
                waiting.append((place, node.ids[0]))
            elif node.type == FILE:
                with naming(place):
                    size = len(node.inline)
                    for chunk in dataset.file_chunks(node):
                        require(chunk in sizes, f"chunk {chunk.hex()} is in no pack of the view")
                        size += sizes[chunk]
                    require(size == node.size, f"its content has {size} bytes instead of {node.size}")


def verify_command(arguments):
    keys, datasets = open_repository(arguments)
    store, known = keys.store, r"config/\w+|d/\w+/(index|sessions|snapshots|packs/\w\w|meta/\w\w)/\w+|d/\w+/(forget|gen)/.*"
    counts = {"packs": 0, "trees": 0, "cells": 0, "missing_cells": [], "unknown_objects": []}
    for name in store.names("keys/slots"):
        with naming(name):
            keys.check_notes(name)
    for name in store.names("keys/datasets"):
        match = re.fullmatch(r"keys/datasets/([0-9a-f]{32})-(0|[1-9][0-9]{0,9})", name)
        require(match, f"{name}: not the name of a dataset root")
        keys.root(bytes.fromhex(match[1]), int(match[2]), stored=True)
    keys.root(keys.dataset, keys.epoch, stored=True)
    for name in store.names("sites"):
        keys.check_declaration(name)
    for name in store.names("policy"):
        keys.check_policy(name)
    for dataset in datasets:
        dataset.load_view()
        names = store.names(f"{dataset.base}/sessions")
        sessions = {bytes.fromhex(name[-32:]): dataset.read_session(name) for name in names}
        for cell in dataset.cells:
            require(sessions.get(bytes.fromhex(cell.id), cell.host_key) == cell.host_key,
                    f"{dataset.base}/snapshots/{cell.id}: another host key than its session's")
        counts["missing_cells"] += verify_chains(dataset)
        segments = {}
        for name in store.names(f"{dataset.base}/index"):
            require(re.fullmatch("[0-9a-f]{64}", name.split("/", 3)[3]), f"{name}: not a segment id")
            segments[name] = dataset.read_segment(bytes.fromhex(name[-64:]))
        sizes, present = {}, {}
        for name in store.names(f"{dataset.base}/packs") + store.names(f"{dataset.base}/meta"):
            require(re.fullmatch("d/[0-9a-f]{32}/(packs|meta)/[0-9a-f]{2}/[0-9a-f]{64}", name), f"{name}: not the name of a pack")
            with naming(name):
                pack, ids = verify_pack(dataset, name, sessions)
            present[pack.id] = pack
            if pack.kind == DATA and pack.id in dataset.packs:
                sizes |= ids
        for name, packs in segments.items():
            for pack in packs:
                require(pack.id in present or pack.id not in dataset.packs, f"{dataset.pack_name(pack)}: missing")
                require(present.get(pack.id, pack) == pack, f"{name}: pack {pack.id.hex()} has another trailer")
        seen = set()
        for cell in dataset.cells:
            if cell.outcome != 3:
                with naming(f"{dataset.base}/snapshots/{cell.id}"):
                    verify_tree(dataset, cell, sizes, seen)
        counts["packs"] += len(present)
        counts["trees"] += len(seen)
        counts["cells"] += len(dataset.cells)
    counts["unknown_objects"] = [n for n in store.names("") if not re.fullmatch(known + "|keys/(slots|datasets)/.*|(sites|policy)/.*", n)]
    print(json.dumps(counts))


# --- Self-test ----------------------------------------------------------------------------------------------------------------

def refuses(action, *arguments):
    try:
        action(*arguments)
    except Damaged:
        return True
    return False


def self_test(_):
    """Primitives against published vectors, and refusals against cases made by hand."""
    # BIP 350.
    for good in ("A1LQFN3A", "a1lqfn3a", "abcdef1l7aum6echk45nj3s0wdvt2fg8x9yrzpqzd3ryx", "11" + 82 * "l" + "ludsr8", "?1v759aa",
                 "an83characterlonghumanreadablepartthatcontainsthetheexcludedcharactersbioandnumber11sg7hg6",
                 "split1checkupstagehandshakeupstreamerranterredcaperredlc445v"):
        bech32m(good)
    for bad in ("\x201xj0phk", "\x7f1g6xzxy", "\x801vctc34", "qyrz8wqd2c9m", "1qyrz8wqd2c9m", "y1b0jsk6g", "lt1igcx5c0",
                "an84characterslonghumanreadablepartthatcontainsthetheexcludedcharactersbioandnumber11d6pts4", "in1muywd",
                "mm1crxm3i", "au1s5cgom", "M1VUXWEZ", "16plkw9", "1p2gdwpf", "A1lqfn3a", "a1lqfn3p"):
        assert refuses(bech32m, bad), bad
    # BLAKE3 test vectors (no input), RFC 8439 section 2.8.2, RFC 8032 section 7.1 test 1.
    assert blake3(b"").hexdigest() == "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    assert keyed(b"whats the Elvish word for friend", b"").hex().startswith("92b2b75604ed3c761f9d6f62392c8a92")
    assert derive("BLAKE3 2019-12-27 16:29:52 test vectors context", b"").hex().startswith("2cc39783c223154fea8dfb7c1b1660f2")
    sunscreen = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it."
    sealed = ChaCha20Poly1305(bytes(range(0x80, 0xA0))).encrypt(bytes.fromhex("070000004041424344454647"), sunscreen,
                                                               bytes.fromhex("50515253c0c1c2c3c4c5c6c7"))
    assert sealed[-16:].hex() == "1ae10b594f09e26a7e902ecbd0600691"
    assert refuses(aead_open, bytes(32), sealed, b"")
    Ed25519PublicKey.from_public_bytes(bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")).verify(
        bytes.fromhex("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0"
                      "595bbe24655141438e7a100b"), b"")
    # Padmé: small cases by hand, then the definition with as many bits as E has for the mantissa.
    for length, padded in ((2, 2), (3, 3), (8, 8), (9, 10), (17, 18), (100, 104), (1000, 1024), (10**6, 1015808), (2**40, 2**40)):
        assert padme(length) == padded, length
    for length in range(2, 70000):
        padded, bits = padme(length), length.bit_length()
        low = (1 << max(0, bits - 1 - (bits - 1).bit_length())) - 1
        assert padded >= length and padded & low == 0 and padded - length <= low and padme(padded) == padded
    # Varints.
    for encoded, value in (("00", 0), ("7f", 127), ("8001", 128), ("ac02", 300), ("ff" * 9 + "01", 2**64 - 1)):
        assert Cursor(bytes.fromhex(encoded)).varint() == value
    for encoded in ("", "80", "8000", "ff00", "ff" * 9 + "02", "80" * 9 + "00", "ff" * 10 + "01", "80" * 10 + "01"):
        assert refuses(Cursor(bytes.fromhex(encoded)).varint), encoded
    for encoded, value in (("00", 0), ("01", -1), ("02", 1), ("ff" * 9 + "01", -2**63), ("fe" + "ff" * 8 + "01", 2**63 - 1)):
        assert Cursor(bytes.fromhex(encoded)).signed() == value
    # Messages, blobs and leaves.
    assert unpad(struct.pack("<I", 3) + b"abc" + bytes(249)) == b"abc"
    for wrong in (struct.pack("<I", 3) + b"abc" + bytes(250), struct.pack("<I", 3) + b"abc" + bytes(248) + b"\1",
                  struct.pack("<I", 300) + bytes(296)):
        assert refuses(unpad, wrong)
    frame = zstandard.ZstdCompressor().compress(b"z" * 1000)
    assert expand(b"\1" + frame, 1000) == b"z" * 1000 and expand(b"\0ab", 2) == b"ab"
    unsized = zstandard.ZstdCompressor(write_content_size=False).compress(b"z" * 1000)
    assert expand(b"\1" + unsized, 1000) == b"z" * 1000
    for part, length in ((b"\1" + frame, 999), (b"\1" + unsized, 999), (b"\1" + frame + b"x", 1000), (b"\1" + frame[:-1], 1000),
                         (b"\1" + unsized + b"x", 1000), (b"\2ab", 2), (b"\0ab", 3), (b"", 0)):
        assert refuses(expand, part, length)
    fifo = bytes.fromhex("0400a403000200050007")  # type, flags, mode, owner, mtime, ctime, inode

    def leaf(*names):
        return bytes([1, 0, 0, 0, 0, len(names)]) + b"".join(bytes([s, len(n)]) + n + fifo for s, n in names)

    assert [n.name for n in read_leaf((), (), leaf((0, b"ab"), (1, b"c")))] == [b"ab", b"ac"]
    for wrong in ((0, b"ab"), (0, b"ac")), ((0, b"b"), (0, b"a")), ((0, b"a"), (1, b"")), ((0, b"."),), ((0, b"a/b"),), ((1, b"a"),):
        assert refuses(read_leaf, (), (), leaf(*wrong)), wrong
    born = bytes([1, 0, 0, 0, 0, 1, 0, 1]) + b"a" + bytes.fromhex("0440a4030002000500070302")
    assert read_leaf((), (), born)[0].btime == (-4, 1) and refuses(read_leaf, (), (), born[:-1] + b"\1")
    flagged = bytes([1, 0, 0, 0, 0, 1, 0, 1]) + b"a" + bytes.fromhex("0190a40300020005000730") + b"\0"
    assert read_leaf((), (), flagged)[0].inode_flags == 0x30 and refuses(read_leaf, (), (), flagged.replace(b"\x30", b"\0"))
    assert refuses(read_leaf, (bytes(32),), (), leaf((0, b"a"))) and refuses(read_leaf, (), (), leaf((0, b"a")) + b"\0")
    print("self-test passed")


class Arguments(argparse.ArgumentParser):
    def error(self, message):
        sys.exit(f"cairn_read: {message}")


def main():
    parser = Arguments(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repository")
    secret = parser.add_mutually_exclusive_group()
    secret.add_argument("--key-file")
    secret.add_argument("--password-file")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list").set_defaults(run=list_command)
    restore = commands.add_parser("restore")
    restore.add_argument("snapshot")
    restore.add_argument("target")
    restore.set_defaults(run=restore_command)
    commands.add_parser("verify").set_defaults(run=verify_command)
    commands.add_parser("self-test").set_defaults(run=self_test)
    arguments = parser.parse_args()
    if arguments.run is not self_test:
        if not arguments.repository or not (arguments.key_file or arguments.password_file):
            parser.error("--repository and one of --key-file, --password-file are needed")
    try:
        arguments.run(arguments)
    except AssertionError:
        raise  # only the self-test asserts
    except Exception as problem:  # whatever a damaged repository brings about is one line
        kind = "" if isinstance(problem, (Damaged, OSError)) else f"{type(problem).__name__}: "
        sys.exit("cairn_read: " + f"{kind}{problem}".replace("\n", " ").encode("ascii", "backslashreplace").decode())


if __name__ == "__main__":
    main()
