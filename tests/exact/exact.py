#!/usr/bin/env python3
"""Makes a tree with one of everything a Linux file system holds, and compares two trees in every respect.

    exact.py make DIR [--entries N]     a tree; what is not permitted here is said in a line that begins with SKIPPED
    exact.py compare A B                a line for each difference of B from A; exit code 1 if there is one
    exact.py describe DIR               what is there, a JSON object a line
    exact.py unlock DIR                 takes immutable and append-only flags off, so that it can be removed
    exact.py self-test DIR              shows that each kind of difference is noticed

With `--as NUMBER` before the command, root does it as that user.

Nothing here is cairn's, and nothing but Python's standard library and the kernel's interface is used. Paths are bytes, and go by
directory descriptors, so that they may be longer than a path can be. Access times are not compared (cairn keeps none), and
birth times cannot be set, so they are described only.
"""

import ctypes
import errno
import fcntl
import hashlib
import json
import os
import stat
import struct
import sys

GETFLAGS, SETFLAGS = 0x80086601, 0x40086602
# As chattr names them. Others say how the file system stores a file, not what the user wants.
FLAGS = {"secrm": 0x1, "unrm": 0x2, "compr": 0x4, "sync": 0x8, "immutable": 0x10, "append": 0x20, "nodump": 0x40, "noatime": 0x80,
         "journal": 0x4000, "notail": 0x8000, "dirsync": 0x10000, "topdir": 0x20000, "nocow": 0x800000, "projinherit": 0x20000000}
FLAGS_MASK = sum(FLAGS.values())
LOCKS = FLAGS["immutable"] | FLAGS["append"]
BLOCK = 4096
TYPES = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink", stat.S_IFIFO: "fifo", stat.S_IFCHR: "chardev",
         stat.S_IFBLK: "blockdev", stat.S_IFSOCK: "socket"}
LIBC = ctypes.CDLL(None, use_errno=True)


# --- Looking ------------------------------------------------------------------------------------------------------------------

def birth_time(at, name):
    """Nanoseconds since 1970, or None: statx(2), which Python's library has not."""
    buffer = ctypes.create_string_buffer(256)
    if LIBC.statx(at, name, 0x100, 0x800, buffer) != 0:  # AT_SYMLINK_NOFOLLOW, STATX_BTIME
        return None
    mask = struct.unpack_from("<I", buffer, 0)[0]
    seconds, nanoseconds = struct.unpack_from("<qI", buffer, 80)
    return seconds * 10**9 + nanoseconds if mask & 0x800 else None


def get_flags(fd):
    try:
        # The kernel writes an int, whatever the number of the call says.
        return struct.unpack_from("<I", fcntl.ioctl(fd, GETFLAGS, bytes(8)))[0]
    except OSError as problem:
        if problem.errno in (errno.ENOTTY, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            return None
        raise


def set_flags(fd, flags):
    fcntl.ioctl(fd, SETFLAGS, struct.pack("<Q", flags))


def holes(fd, size):
    """Where there is nothing, as pairs of offsets."""
    found, at = [], 0
    while at < size:
        hole = os.lseek(fd, at, os.SEEK_HOLE)
        if hole >= size:
            break
        try:
            at = min(os.lseek(fd, hole, os.SEEK_DATA), size)
        except OSError as problem:
            if problem.errno != errno.ENXIO:
                raise
            at = size
        found.append((hole, at))
    return found


def content(fd, size, empty):
    """A digest of all blocks that are not zero, with where they are."""
    digest, zeros, at = hashlib.blake2b(digest_size=16), bytes(BLOCK), 0
    for start, end in empty + [(size, size)]:
        while at < start:
            block = os.pread(fd, min(BLOCK - at % BLOCK, start - at), at)
            if not block:
                return "cut short"
            if block != zeros[:len(block)]:
                digest.update(struct.pack("<Q", at) + block)
            at += len(block)
        at = end
    return digest.hexdigest()


def link_path(at, name):
    return b"/proc/self/fd/%d/%s" % (at, name)


def attributes(at, name):
    path = link_path(at, name)
    return {k: os.getxattr(path, k, follow_symlinks=False).hex() for k in sorted(os.listxattr(path, follow_symlinks=False))}


def entry(at, name):
    """Everything about one entry, and its inode."""
    meta = os.stat(name, dir_fd=at, follow_symlinks=False)
    kind = TYPES[stat.S_IFMT(meta.st_mode)]
    found = {"type": kind, "mode": oct(stat.S_IMODE(meta.st_mode)), "uid": meta.st_uid, "gid": meta.st_gid, "mtime": meta.st_mtime_ns,
             "xattrs": attributes(at, name), "btime": birth_time(at, name)}
    if kind == "file":
        try:
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=at)
        except PermissionError:
            return found | {"size": meta.st_size, "content": "not readable", "links": meta.st_nlink}, (meta.st_dev, meta.st_ino)
        try:
            empty = holes(fd, meta.st_size)
            found |= {"size": meta.st_size, "holes": empty, "content": content(fd, meta.st_size, empty), "flags": get_flags(fd)}
        finally:
            os.close(fd)
    elif kind == "symlink":
        found["target"] = os.readlink(name, dir_fd=at).hex()
    elif kind in ("chardev", "blockdev"):
        found["device"] = [os.major(meta.st_rdev), os.minor(meta.st_rdev)]
    if kind != "directory":
        found["links"] = meta.st_nlink
    return found, (meta.st_dev, meta.st_ino)


def describe(root):
    """A dictionary of entries by path; the root itself is not in it."""
    found, inodes = {}, {}

    def below(fd, prefix):
        for name in sorted(os.listdir(fd)):
            name = os.fsencode(name)
            path = prefix + name
            found[path], inode = entry(fd, name)
            if found[path]["type"] == "directory":
                try:
                    child = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
                except PermissionError:
                    found[path]["content"] = "not readable"
                    continue
                try:
                    found[path]["flags"] = get_flags(child)
                    below(child, path + b"/")
                finally:
                    os.close(child)
            elif found[path]["links"] > 1:
                inodes.setdefault(inode, []).append(path)

    sys.setrecursionlimit(20_000)
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        below(fd, b"")
    finally:
        os.close(fd)
    # Which names are one inode: said by the least of them.
    for names in inodes.values():
        for path in names:
            found[path]["same"] = min(names).hex()
    for item in found.values():
        if item.get("flags") is not None:
            item["flags"] = [word for word, bit in FLAGS.items() if item["flags"] & bit]
    return found


def has_holes(wanted, there):
    """Whether all that was empty is empty. Zeros of a file with holes may have become holes as well; a file without stays without."""
    if not wanted:
        return not there
    return all(any(a <= start and end <= b for a, b in there) for start, end in wanted)


def shown(path):
    return path.decode("utf-8", "backslashreplace").replace("\n", "\\n")


def differences(left, right):
    found = []
    for path in sorted(left.keys() | right.keys()):
        a, b = left.get(path), right.get(path)
        if a is None or b is None:
            found.append(f"{shown(path)}: {'extra' if a is None else 'missing'}: {(a or b)['type']}")
            continue
        for key in sorted((a.keys() | b.keys()) - {"btime"}):
            x, y = a.get(key), b.get(key)
            if key == "xattrs":
                found += [f"{shown(path)}: xattr {name}: {x.get(name)} | {y.get(name)}" for name in sorted(x.keys() | y.keys())
                          if x.get(name) != y.get(name)]
            elif not (has_holes(x, y) if key == "holes" and x is not None and y is not None else x == y):
                found.append(f"{shown(path)}: {key}: {x} | {y}")
    return found


# --- Making -------------------------------------------------------------------------------------------------------------------

def access_list(*entries):
    """An access list as the kernel takes it: pairs of tag, rights, number."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


ACCESS = access_list((1, 6, 2**32 - 1), (2, 6, 4711), (4, 4, 2**32 - 1), (8, 5, 4712), (0x10, 6, 2**32 - 1), (0x20, 0, 2**32 - 1))
ACCESS_DIRECTORY = access_list((1, 7, 2**32 - 1), (2, 6, 4711), (4, 5, 2**32 - 1), (8, 5, 4712), (0x10, 7, 2**32 - 1), (0x20, 0, 2**32 - 1))
DEFAULT = access_list((1, 7, 2**32 - 1), (2, 5, 4711), (4, 5, 2**32 - 1), (0x10, 7, 2**32 - 1), (0x20, 4, 2**32 - 1))
CAPABILITY = struct.pack("<5I", 0x02000001, 0x400, 0, 0, 0)


class Maker:
    def __init__(self, root):
        os.makedirs(root, exist_ok=True)
        self.root = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        self.clock = 1_000_000_000_123_456_789
        self.skipped = set()

    def at(self, path):
        """Path for calls that take no descriptor."""
        return b"/proc/self/fd/%d/%s" % (self.root, path)

    def attempt(self, what, act):
        try:
            act()
        except OSError as problem:
            line = f"SKIPPED: {what}: {problem.strerror}"
            if line not in self.skipped:
                self.skipped.add(line)
                print(line)

    def stamp(self, path, ns=None):
        self.clock += 1_000_000_007
        ns = self.clock if ns is None else ns
        os.utime(self.at(path), ns=(ns, ns), follow_symlinks=False)

    def directory(self, path):
        os.mkdir(self.at(path), 0o755)

    def file(self, path, data=b"content\n", mode=0o644, ns=None):
        with open(self.at(path), "wb") as file:
            file.write(data)
        os.chmod(self.at(path), mode)
        self.stamp(path, ns)

    def sparse(self, path, size, pieces, extra=None):
        with open(self.at(path), "wb") as file:
            for offset, data in pieces:
                os.pwrite(file.fileno(), data, offset)
            file.truncate(size)
            if extra:
                extra(file.fileno())
        self.stamp(path)

    def xattr(self, path, name, value):
        self.attempt(f"attribute {name}", lambda: os.setxattr(self.at(path), name, value, follow_symlinks=False))

    def flags(self, path, *words):
        def act():
            fd = os.open(self.at(path), os.O_RDONLY | os.O_NOFOLLOW)
            try:
                for word in words:
                    set_flags(fd, get_flags(fd) | FLAGS[word])
            finally:
                os.close(fd)
        self.attempt(f"inode flags {' '.join(words)}", act)

    def node(self, path, mode, device=0):
        def act():
            os.mknod(self.at(path), mode, device)
            os.chmod(self.at(path), mode & 0o7777)
            self.stamp(path)
        self.attempt(f"special file {shown(path)}", act)

    def link(self, old, new):
        self.attempt(f"hard link {shown(new)}", lambda: os.link(self.at(old), self.at(new), follow_symlinks=False))

    def symlink(self, target, path, ns=None):
        os.symlink(target, self.at(path))
        self.stamp(path, ns)

    def chown(self, path, uid, gid):
        self.attempt("owners of others", lambda: os.chown(self.at(path), uid, gid, follow_symlinks=False))


def data_of(seed, size):
    return hashlib.shake_128(str(seed).encode()).digest(size)


def make(root, entries):
    m = Maker(root)
    is_root = os.geteuid() == 0
    m.directory(b"names")
    for name in [b"\xff\xfe not UTF-8 \x80", b"new\nline", b" blank ", b"-dash", b"*?[", b"tab\t", b"\x01\x1b[2J", b"n" * 255, b"\xc3\xbc", b"u\xcc\x88"]:
        m.file(b"names/" + name, name)
    m.symlink(b"\xff\n nowhere", b"names/link \xfe")

    # Deeper than a path can be long.
    fd, depth = os.dup(m.root), 0
    while depth < 26:
        os.mkdir(b"d" * 200, 0o755, dir_fd=fd)
        below = os.open(b"d" * 200, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd, depth = below, depth + 1
    with open(os.open(b"bottom", os.O_WRONLY | os.O_CREAT, 0o640, dir_fd=fd), "wb") as file:
        file.write(b"far down")
    os.symlink(b"bottom", b"link", dir_fd=fd)
    os.link(b"bottom", b"second", src_dir_fd=fd, dst_dir_fd=fd)
    for name in [b"bottom", b"link"]:
        os.utime(name, ns=(m.clock, m.clock), dir_fd=fd, follow_symlinks=False)
    while depth > 0:
        os.utime(fd, ns=(m.clock + depth, m.clock + depth))
        above = os.open(b"..", os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd, depth = above, depth - 1
    os.close(fd)

    m.directory(b"types")
    m.file(b"types/empty", b"")
    m.file(b"types/tiny", b"x")
    m.file(b"types/large", data_of("large", 3_000_001))
    m.directory(b"types/empty directory")
    m.node(b"types/fifo", stat.S_IFIFO | 0o640)
    m.node(b"types/socket", stat.S_IFSOCK | 0o600)
    m.node(b"types/char", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    m.node(b"types/char with large numbers", stat.S_IFCHR | 0o600, os.makedev(500, 300_000))
    m.node(b"types/block", stat.S_IFBLK | 0o660, os.makedev(7, 200))
    m.symlink(b"x" * 4095, b"types/longest link")
    m.symlink(b"/absolute/../nowhere", b"types/dangling")

    m.directory(b"modes")
    for mode in (0o4755, 0o2755, 0o6711, 0o1644, 0o7777, 0o400, 0o000, 0o666):
        m.file(b"modes/%04o" % mode, b"%o" % mode, mode)
    for mode in (0o1777, 0o2775, 0o3770, 0o700, 0o500, 0o000):
        path = b"modes/dir %04o" % mode
        m.directory(path)
        m.file(path + b"/inside", b"%o" % mode)
        os.chmod(m.at(path), mode)

    m.directory(b"owners")
    for uid, gid in ((0, 0), (1, 2), (4711, 4712), (65534, 65534), (4_000_000_000, 4_100_000_000)):
        path = b"owners/%d-%d" % (uid, gid)
        m.file(path, b"owned", 0o600)
        m.symlink(b"owned", path + b" link")
        m.file(path + b" setuid", b"owned", 0o644)
        for one in (path, path + b" link", path + b" setuid"):
            m.chown(one, uid, gid)
        os.chmod(m.at(path + b" setuid"), 0o6755)
        m.directory(path + b" dir")
        m.chown(path + b" dir", uid, gid)

    m.directory(b"times")
    for word, ns in (("nanosecond", 1), ("before 1970", -1), ("negative", -1_000_000_000_123_456_789), ("1901", -2_147_483_647 * 10**9 - 5),
                     ("2038", 2_147_483_648 * 10**9 + 999_999_999), ("2400", 13_569_465_600 * 10**9 + 1), ("2446", 15_032_385_535 * 10**9)):
        path = b"times/" + word.encode()
        m.file(path, b"timed", ns=ns)
        m.symlink(b"timed", path + b" link", ns=ns)
        m.node(path + b" fifo", stat.S_IFIFO | 0o600)
        m.stamp(path + b" fifo", ns)
        m.directory(path + b" dir")
        m.stamp(path + b" dir", ns)

    m.directory(b"attributes")
    m.file(b"attributes/user", b"user")
    for name, value in (("user.empty", b""), ("user.binary", bytes(range(256))), ("user.large", data_of("xattr", 1500)),
                        ("user.n\xfc \xe9".encode().decode(), b"name beyond ASCII")):
        m.xattr(b"attributes/user", name, value)
    m.file(b"attributes/read-only", b"user", 0o644)
    m.xattr(b"attributes/read-only", "user.on-read-only", b"1")
    os.chmod(m.at(b"attributes/read-only"), 0o444)
    m.file(b"attributes/list", b"list", 0o640)
    m.xattr(b"attributes/list", "system.posix_acl_access", ACCESS)
    m.directory(b"attributes/directory")
    m.xattr(b"attributes/directory", "user.on-directory", b"d")
    m.directory(b"attributes/lists")
    m.xattr(b"attributes/lists", "system.posix_acl_access", ACCESS_DIRECTORY)
    m.file(b"attributes/lists/made before the default", b"1", 0o664)
    m.xattr(b"attributes/lists", "system.posix_acl_default", DEFAULT)
    m.file(b"attributes/lists/made after", b"2", 0o660)
    m.directory(b"attributes/lists/directory made after")
    if is_root:
        m.file(b"attributes/capable", b"#!/bin/true\n", 0o755)
        m.chown(b"attributes/capable", 4711, 4712)
        m.xattr(b"attributes/capable", "security.capability", CAPABILITY)
        m.file(b"attributes/trusted", b"t")
        m.xattr(b"attributes/trusted", "trusted.cairn", b"\0t")
        m.xattr(b"attributes/trusted", "security.cairn", b"\0s")
        m.symlink(b"trusted", b"attributes/link")
        m.node(b"attributes/fifo", stat.S_IFIFO | 0o600)
        for path in (b"link", b"fifo", b"directory"):
            m.xattr(b"attributes/" + path, "trusted.cairn", path)
        for path in (b"trusted", b"link", b"fifo", b"directory", b"user"):
            m.xattr(b"attributes/" + path, "security.selinux", b"system_u:object_r:etc_t:s0\0")
    else:
        print("SKIPPED: trusted and security attributes: only root may set them")

    m.directory(b"holes")
    m.sparse(b"holes/leading", 400_000, [(300_000, data_of(1, 100_000))])
    m.sparse(b"holes/middle", 500_000, [(0, data_of(2, 9_000)), (490_000, data_of(3, 10_000))])
    m.sparse(b"holes/trailing", 700_000, [(0, data_of(4, 300_001))])
    m.sparse(b"holes/all", 1_000_000, [])
    m.sparse(b"holes/all of one block", 4096, [])
    m.sparse(b"holes/small", 20_000, [(0, b"a"), (16_384, b"b")])
    m.sparse(b"holes/many", 16 * BLOCK * 200, [(n * 16 * BLOCK, data_of(n, BLOCK)) for n in range(200)])
    m.sparse(b"holes/large", (17 << 30) + 77, [(5 << 30, data_of(5, 600_000)), ((16 << 30) + 3, b"beyond")])
    m.sparse(b"holes/hidden by what is allocated beyond the end", 1_000_000, [(0, data_of(6, 499_712)), (512_000, data_of(7, 488_000))],
             lambda fd: LIBC.fallocate(fd, 1, ctypes.c_long(1_003_520), ctypes.c_long(200_000)))
    m.file(b"holes/zeros that are there", bytes(300_000))
    m.file(b"holes/zeros that are there, few", bytes(5_000))
    m.sparse(b"holes/zeros that are there and a hole", 900_000, [(0, bytes(131_072)), (800_000, data_of(8, 100_000))])

    m.directory(b"links")
    m.directory(b"links/a")
    m.directory(b"links/b")
    m.file(b"links/a/file", data_of("linked", 200_000))
    m.link(b"links/a/file", b"links/b/file")
    m.link(b"links/a/file", b"links/third \xff")
    m.file(b"links/a/tiny", b"t")
    m.link(b"links/a/tiny", b"links/b/tiny")
    m.file(b"links/a/nothing", b"")
    m.link(b"links/a/nothing", b"links/b/nothing")
    m.symlink(b"file", b"links/a/symlink")
    m.link(b"links/a/symlink", b"links/b/symlink")
    m.node(b"links/a/fifo", stat.S_IFIFO | 0o600)
    m.link(b"links/a/fifo", b"links/b/fifo")
    if is_root:
        m.node(b"links/a/char", stat.S_IFCHR | 0o600, os.makedev(1, 5))
        m.link(b"links/a/char", b"links/b/char")
        m.node(b"links/a/block", stat.S_IFBLK | 0o600, os.makedev(7, 201))
        m.link(b"links/a/block", b"links/b/block")

    m.directory(b"many")
    for number in range(entries):
        os.close(os.open(m.at(b"many/%06d" % number), os.O_WRONLY | os.O_CREAT, 0o644))
        m.stamp(b"many/%06d" % number)

    m.directory(b"flags")
    for word in ("nodump", "noatime", "sync"):
        m.file(b"flags/" + word.encode(), word.encode())
        m.flags(b"flags/" + word.encode(), word)
    for word in ("nodump", "noatime", "dirsync"):
        m.directory(b"flags/dir " + word.encode())
        m.flags(b"flags/dir " + word.encode(), word)
    locks = [b"flags/append", b"flags/immutable", b"flags/a linked", b"flags/dir append", b"flags/dir immutable"] if is_root else []
    if is_root:
        m.file(b"flags/immutable", b"immutable")
        m.file(b"flags/append", data_of("append", 200_000), 0o600)
        m.file(b"flags/a linked", data_of("immutable and linked", 200_000))
        m.link(b"flags/a linked", b"links/z linked to an immutable file")
        for path in (b"flags/dir append", b"flags/dir immutable"):
            m.directory(path)
            m.directory(path + b"/below")
            m.file(path + b"/below/file", b"inside")
            m.symlink(b"file", path + b"/below/link")
            m.stamp(path + b"/below")
    else:
        print("SKIPPED: immutable and append-only: only root may set them")

    # Directories last: what was made in them changed their times. Those whose time is the point were not touched again.
    def stamp_all(fd, prefix):
        for name in sorted(map(os.fsencode, os.listdir(fd))):
            if stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode) and prefix + name != b"d" * 200:
                try:
                    child = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
                    stamp_all(child, prefix + name + b"/")
                    os.close(child)
                except PermissionError:
                    pass  # Its owner may not look into it; its time he may set.
                if not prefix.startswith(b"times"):
                    m.stamp(prefix + name)
    stamp_all(m.root, b"")
    for path in locks:
        m.flags(path, "append" if b"append" in path else "immutable")
    os.close(m.root)


def unlock(root):
    def below(fd):
        try:
            flags = get_flags(fd)
            if flags and flags & LOCKS:
                set_flags(fd, flags & ~LOCKS)
        except OSError as problem:
            print(f"cannot unlock: {problem}", file=sys.stderr)
        for name in map(os.fsencode, os.listdir(fd)):
            mode = os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                try:
                    os.chmod(link_path(fd, name), 0o700)
                except OSError:
                    pass
            if stat.S_ISDIR(mode) or stat.S_ISREG(mode):
                try:
                    child = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=fd)
                except OSError:
                    continue
                if stat.S_ISDIR(mode):
                    below(child)
                    os.chmod(child, 0o700)
                else:
                    flags = get_flags(child)
                    if flags and flags & LOCKS:
                        set_flags(child, flags & ~LOCKS)
                os.close(child)

    sys.setrecursionlimit(20_000)
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    below(fd)
    os.close(fd)


# --- Showing that it sees -----------------------------------------------------------------------------------------------------

def self_test(root):
    os.makedirs(root)
    a, b = os.path.join(root, b"a"), os.path.join(root, b"b")
    for place in (a, b):
        make(place, 3)
    left = describe(a)
    found = differences(left, describe(b))
    if found:
        sys.exit("two trees made alike differ:\n" + "\n".join(found))
    m = Maker(b)
    is_root = os.geteuid() == 0

    def rewrite(path, offset, data):
        with open(m.at(path), "r+b") as file:
            before = os.fstat(file.fileno()).st_mtime_ns
            os.pwrite(file.fileno(), data, offset)
        m.stamp(path, before)

    def replace(path, make_again):
        os.unlink(m.at(path))
        make_again()

    def punch(path, offset, length):
        with open(m.at(path), "r+b") as file:
            before = os.fstat(file.fileno()).st_mtime_ns
            if LIBC.fallocate(file.fileno(), 3, ctypes.c_long(offset), ctypes.c_long(length)) != 0:
                raise OSError(ctypes.get_errno(), "cannot make a hole")
        m.stamp(path, before)

    def unlink_one_of_two(path):
        time = os.stat(m.at(path), follow_symlinks=False).st_mtime_ns
        data = open(m.at(path), "rb").read()
        replace(path, lambda: m.file(path, data, ns=time))

    # What is changed, where it has to be noticed, and as what.
    table = [
        ("content", lambda: rewrite(b"types/large", 2_000_000, b"!"), b"types/large", "content"),
        ("content of one byte", lambda: rewrite(b"types/tiny", 0, b"y"), b"types/tiny", "content"),
        ("length", lambda: os.truncate(m.at(b"names/\xc3\xbc"), 1), b"names/\xc3\xbc", "size"),
        ("a zero more", lambda: os.truncate(m.at(b"types/empty"), 1), b"types/empty", "size"),
        ("mode", lambda: os.chmod(m.at(b"modes/0666"), 0o664), b"modes/0666", "mode"),
        ("setuid", lambda: os.chmod(m.at(b"modes/4755"), 0o755), b"modes/4755", "mode"),
        ("sticky directory", lambda: os.chmod(m.at(b"modes/dir 1777"), 0o777), b"modes/dir 1777", "mode"),
        ("time by a nanosecond", lambda: m.stamp(b"times/nanosecond", 2), b"times/nanosecond", "mtime"),
        ("time of a symbolic link", lambda: m.stamp(b"times/2400 link", 7), b"times/2400 link", "mtime"),
        ("time of a directory", lambda: m.stamp(b"times/negative dir", 7), b"times/negative dir", "mtime"),
        ("link's target", lambda: replace(b"types/dangling", lambda: m.symlink(b"/absolute", b"types/dangling")), b"types/dangling", "target"),
        ("type", lambda: replace(b"types/fifo", lambda: m.file(b"types/fifo")), b"types/fifo", "type"),
        ("missing", lambda: os.unlink(m.at(b"names/-dash")), b"names/-dash", "missing"),
        ("extra", lambda: m.file(b"names/more"), b"names/more", "extra"),
        ("missing at the bottom", lambda: os.unlink(m.at(b"types/socket")), b"types/socket", "missing"),
        ("attribute changed", lambda: os.setxattr(m.at(b"attributes/user"), "user.empty", b"1"), b"attributes/user", "xattr user.empty"),
        ("attribute gone", lambda: os.removexattr(m.at(b"attributes/user"), "user.binary"), b"attributes/user", "xattr user.binary"),
        ("attribute more", lambda: os.setxattr(m.at(b"types/tiny"), "user.more", b""), b"types/tiny", "xattr user.more"),
        ("access list", lambda: os.removexattr(m.at(b"attributes/list"), "system.posix_acl_access"), b"attributes/list", "xattr system.posix_acl_access"),
        ("default access list", lambda: os.removexattr(m.at(b"attributes/lists"), "system.posix_acl_default"), b"attributes/lists",
         "xattr system.posix_acl_default"),
        ("hole filled", lambda: rewrite(b"holes/middle", 200_000, bytes(BLOCK)), b"holes/middle", "holes"),
        ("hole at the end filled", lambda: rewrite(b"holes/trailing", 600_000, bytes(10)), b"holes/trailing", "holes"),
        ("hole where none was", lambda: punch(b"holes/zeros that are there", 65_536, 65_536), b"holes/zeros that are there", "holes"),
        ("zeros for a block", lambda: punch(b"types/large", 65_536, 4_096), b"types/large", "content"),
        ("byte beyond 16 GiB", lambda: rewrite(b"holes/large", (16 << 30) + 4, b"X"), b"holes/large", "content"),
        ("hard link broken", lambda: unlink_one_of_two(b"links/b/tiny"), b"links/b/tiny", "links"),
        ("symbolic link no longer linked", lambda: replace(b"links/b/symlink", lambda: m.symlink(b"file", b"links/b/symlink")), b"links/a/symlink", "links"),
        ("pipe no longer linked", lambda: replace(b"links/b/fifo", lambda: m.node(b"links/b/fifo", stat.S_IFIFO | 0o600)), b"links/b/fifo", "same"),
        ("inode flag", lambda: m.flags(b"types/tiny", "nodump"), b"types/tiny", "flags"),
        ("inode flag of a directory", lambda: m.flags(b"types/empty directory", "noatime"), b"types/empty directory", "flags"),
    ]
    if is_root:
        table += [
            ("user", lambda: os.chown(m.at(b"types/tiny"), 7, -1), b"types/tiny", "uid"),
            ("group of a link", lambda: os.chown(m.at(b"types/dangling"), -1, 7, follow_symlinks=False), b"types/dangling", "gid"),
            ("capability", lambda: os.removexattr(m.at(b"attributes/capable"), "security.capability"), b"attributes/capable", "xattr security.capability"),
            ("label", lambda: os.removexattr(m.at(b"attributes/link"), "security.selinux", follow_symlinks=False), b"attributes/link", "xattr security.selinux"),
            ("device number", lambda: replace(b"types/char", lambda: m.node(b"types/char", stat.S_IFCHR | 0o666, os.makedev(1, 5))), b"types/char", "device"),
            ("immutable", lambda: unlock(b), b"flags/dir immutable", "flags"),
        ]
    else:
        print("SKIPPED: differences that only root can make")
    for what, change, path, expected in table:
        before = describe(b)
        change()
        noticed = differences(before, describe(b))
        if not any(line.startswith(f"{shown(path)}: {expected}:") for line in noticed):
            sys.exit(f"not noticed: {what} ({shown(path)}: {expected}); noticed: {noticed}")
    print(f"counts: {len(left)} entries compared, {len(table)} kinds of difference noticed")


def main():
    if sys.argv[1] == "--as":
        number = int(sys.argv[2])
        os.setgroups([])
        os.setgid(number)
        os.setuid(number)
        del sys.argv[1:3]
    command, args = sys.argv[1], [os.fsencode(arg) for arg in sys.argv[2:]]
    if command == "make":
        make(args[0], int(args[2]) if len(args) > 2 else 2000)
    elif command == "compare":
        left = describe(args[0])
        found = differences(left, describe(args[1]))
        print("\n".join(found) if found else f"counts: {len(left)} entries are the same")
        sys.exit(1 if found else 0)
    elif command == "describe":
        for path, item in sorted(describe(args[0]).items()):
            print(json.dumps({"path": path.decode("utf-8", "surrogateescape")} | item))
    elif command == "unlock":
        unlock(args[0])
    elif command == "self-test":
        try:
            self_test(args[0])
        finally:
            unlock(args[0])
    else:
        sys.exit(__doc__)


main()
