#!/usr/bin/env python3
"""Checks a bundle of cairn's logs with nothing but Python's standard library and the openssl command.

  verify.py [--key ENROLMENT]... [DIR]         the logs of a bundle (default: the folder of this file)
  verify.py [--key ENROLMENT]... --proof FILE  one file's transmission or recovery, as `cairn audit prove` printed it

ENROLMENT is a host's key as it was enrolled, once for each host that writes to the repository: from the contract's annex or from whoever cosigns, never from the bundle.
Ends with 0 if everything is as the enrolled host signed it, with 1 if something is wrong, with 3 if no ENROLMENT was given:
then the bundle can be consistent with itself, and is not tied to anybody.
"""
import base64, hashlib, json, os, re, subprocess, sys, tempfile
from datetime import datetime, timezone

STEP_BACK_MAX = 60  # seconds: runs of one host do not wait for each other
faults = []


def fault(kind, what):
    faults.append(kind)
    print(f"FAULT {kind}: {what}")


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def leaf_hash(leaf):
    return sha(b"\0", leaf)


def node(left, right):
    return sha(b"\1", left, right)


class Tree:
    """RFC 6962: the roots of complete subtrees, one for each bit of the size."""

    def __init__(self):
        self.size, self.peaks = 0, []

    def push(self, h):
        n = self.size
        while n & 1:
            h, n = node(self.peaks.pop(), h), n >> 1
        self.peaks.append(h)
        self.size += 1

    def root(self):
        if not self.peaks:
            return sha()
        h = self.peaks[-1]
        for left in reversed(self.peaks[:-1]):
            h = node(left, h)
        return h


def inclusion_root(h, index, size, proof):
    """RFC 9162, 2.1.3.2: the root that a proof leads to, or None."""
    if index >= size:
        return None
    at, last = index, size - 1
    for sibling in proof:
        if last == 0:
            return None
        if at & 1 or at == last:
            h = node(sibling, h)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            h = node(h, sibling)
        at, last = at >> 1, last >> 1
    return h if last == 0 else None


class Key:
    """A C2SP verifier key: NAME+ID+BASE64."""

    def __init__(self, text):
        self.text = text.strip()
        self.name, kid, blob = self.text.split("+", 2)
        blob = base64.b64decode(blob, validate=True)
        if len(blob) != 33 or blob[0] not in (1, 4):
            raise ValueError("not an Ed25519 key")
        self.kind, self.public = blob[0], blob[1:]
        self.id = sha(self.name.encode(), b"\n", blob)[:4]
        if self.id.hex() != kid:
            raise ValueError("its id is not that of the key")

    def signed(self, message, signature):
        spki = bytes.fromhex("302a300506032b6570032100") + self.public  # RFC 8410
        with tempfile.TemporaryDirectory() as folder:
            paths = []
            for name, data in (("k", spki), ("m", message), ("s", signature)):
                paths.append(os.path.join(folder, name))
                with open(paths[-1], "wb") as f:
                    f.write(data)
            k, m, s = paths
            command = ["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", k, "-rawin", "-in", m, "-sigfile", s]
            return subprocess.run(command, capture_output=True).returncode == 0


class Note:
    """A C2SP signed note."""

    def __init__(self, data):
        text, below = data.decode().rsplit("\n\n", 1)
        self.text, self.signatures = text + "\n", []
        for line in below.splitlines():
            mark, name, blob = line.split(" ")
            if mark != "\u2014":
                raise ValueError("a line below it is no signature")
            blob = base64.b64decode(blob, validate=True)
            self.signatures.append((name, blob[:4], blob[4:]))

    def verify(self, key):
        for name, kid, signature in self.signatures:
            if name == key.name and kid == key.id:
                if key.kind == 1:
                    return key.signed(self.text.encode(), signature)
                seconds = int.from_bytes(signature[:8], "big")
                return key.signed(f"cosignature/v1\ntime {seconds}\n{self.text}".encode(), signature[8:])
        return False

    def checkpoint(self):
        origin, size, root = self.text.splitlines()
        if str(int(size)) != size:
            raise ValueError("its size is spelt oddly")
        return origin, int(size), base64.b64decode(root, validate=True)


def read(*path):
    with open(os.path.join(*path), "rb") as f:
        return f.read()


def names(folder):
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def endorsed(data, enrolled):
    """The log's key, if the host's word for it holds."""
    note = Note(data)
    head, origin, log, host = note.text.splitlines()
    log, host = Key(log), Key(host)
    if head != "cairn log key v1" or log.name != origin or not note.verify(host):
        fault("key", f"{origin}: the host's word for the log's key does not hold")
        return None
    if enrolled and (host.name, host.public) not in [(key.name, key.public) for key in enrolled]:
        fault("key", f"{origin}: its key is endorsed by {host.name}, which is no host that is enrolled")
    return log


def check_log(folder, enrolled):
    keys = names(os.path.join(folder, "keys"))
    endorsements = [name for name in keys if name.endswith(".endorsement")]
    if len(endorsements) != 1:
        return fault("key", f"{folder}: there has to be one endorsement of the log's key")
    log = endorsed(read(folder, "keys", endorsements[0]), enrolled)
    if log is None:
        return
    lines = read(folder, "log.jsonl").split(b"\n")
    if lines.pop() != b"":
        fault("truncated", f"{log.name}: the last leaf has no end")
    tree, roots, last = Tree(), {0: Tree().root()}, None
    for n, line in enumerate(lines):
        tree.push(leaf_hash(line))
        roots[tree.size] = tree.root()
        try:
            text = json.loads(line)["t"]
            when = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ")
        except (ValueError, KeyError, TypeError):
            fault("malformed", f"{log.name}: leaf {n} is no JSON with a time")
            continue
        if last and (last - when).total_seconds() > STEP_BACK_MAX:
            fault("clock", f"{log.name}: leaf {n} is of {text}, and one before it of {last.isoformat()}Z")
            last = when
        last = max(last, when) if last else when
    highest = 0
    for place, needs_key in (("checkpoints", True), ("receipts", False)):
        for name in names(os.path.join(folder, place)):
            try:
                note = Note(read(folder, place, name))
                origin, size, root = note.checkpoint()
            except ValueError as error:
                fault("malformed", f"{log.name}: {place}/{name}: {error}")
                continue
            whose = "was signed" if needs_key else "was seen by " + " and ".join(s[0] for s in note.signatures)
            if origin != log.name:
                fault("signature", f"{log.name}: {place}/{name} is of another log")
                continue
            if needs_key and not note.verify(log):
                fault("signature", f"{log.name}: {place}/{name} is not signed by the log's key")
                continue
            if size > tree.size:
                fault("truncated", f"{log.name}: a state of {size} leaves {whose}, and {tree.size} are here")
            elif roots[size] != root:
                kind = "edited" if needs_key else "forked"
                fault(kind, f"{log.name}: another state of {size} leaves {whose} than the one that is here")
            elif needs_key:
                highest = max(highest, size)
    if highest < tree.size:
        fault("unsigned", f"{log.name}: {tree.size - highest} leaves at the end are under no signed checkpoint")
    print(f"log {log.name}: {tree.size} leaves, signed up to {highest}")


def check_proof(path, enrolled):
    proof = json.loads(read(path))
    log = endorsed(proof["endorsement"].encode(), enrolled)
    if log is None:
        return
    unbase = lambda text: base64.b64decode(text, validate=True)
    note = Note(proof["checkpoint"].encode())
    origin, size, root = note.checkpoint()
    if origin != log.name or not note.verify(log):
        fault("signature", "the checkpoint is not signed by the log's key")
    leaf = proof["leaf"].encode()
    at = inclusion_root(leaf_hash(leaf), proof["leaf_index"], size, [unbase(h) for h in proof["leaf_proof"]])
    if at != root:
        fault("edited", "the leaf is not in the log")
    said = json.loads(leaf)
    record = unbase(proof["record"])
    at = inclusion_root(leaf_hash(record), proof["record_index"], said["files_count"], [unbase(h) for h in proof["record_proof"]])
    if at is None or base64.b64encode(at).decode() != said["files_root"]:
        fault("edited", "the record is not among those that the leaf has the root of")
    token = sha(b"cairn file token v1\n", unbase(proof["blind"]), unbase(proof["path"]))[:16]
    if token != record[1:17]:
        fault("edited", "the record is of another path")
    numbers, rest = [], record[33:]
    for _ in range(2):
        value = shift = 0
        while True:
            byte, rest = rest[0], rest[1:]
            value |= (byte & 127) << shift
            shift += 7
            if not byte & 128:
                break
        numbers.append(value)
    what = {1: "transmitted", 2: "transmitted while it was changing", 3: "recovered", 4: "not recovered"}[record[0]]
    when = datetime.fromtimestamp(numbers[1] / 1000, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    shown = unbase(proof["path"]).decode("utf-8", "backslashreplace")
    print(f"file {shown}: {what}, {numbers[0]} bytes, at {when}, as recorded by {origin}, leaf {proof['leaf_index']} ({said['type']})")


def main():
    arguments, enrolled, proof = sys.argv[1:], [], None
    while arguments and arguments[0].startswith("--"):
        flag = arguments.pop(0)
        if flag not in ("--key", "--proof") or not arguments:
            print(__doc__)
            return 2
        value = arguments.pop(0)
        if flag == "--proof":
            proof = value
            continue
        try:
            enrolled.append(Key(value))
        except ValueError as error:
            print(f"--key is no verifier key: {error}")
            return 2
    try:
        check(arguments, enrolled, proof)
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        fault("malformed", f"it cannot be read: {error!r}")
    if faults:
        print(f"WRONG: {len(faults)} found")
        return 1
    if not enrolled:
        print("consistent with itself; NOT tied to an enrolled key (give --key)")
        return 3
    print("as signed by " + " and ".join(key.name for key in enrolled))
    return 0


def check(arguments, enrolled, proof):
    if proof:
        check_proof(proof, enrolled)
    else:
        folder = arguments[0] if arguments else os.path.dirname(os.path.abspath(__file__))
        check_log(folder, enrolled)
        for name in names(os.path.join(folder, "others")):
            if re.fullmatch("[0-9a-f]{32}", name):
                check_log(os.path.join(folder, "others", name), enrolled)


if __name__ == "__main__":
    sys.exit(main())
