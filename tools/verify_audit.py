"""Checks exports of rotator's audit log without rotator: the chain, its checkpoints, its seals. It reads, and no more.

FILE: from `rotator audit export` or `prune`, oldest first; together one chain. --key: the fingerprint (SHA-256 of the
public key, hex) of who signs. Ends with 0 when all holds, else with 4. The form: docs/reference/audit-format.md
"""

import argparse
import base64
import hashlib
import json
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

KEYS = {"seq", "time", "event", "credential", "rotation_id", "actor", "outcome", "reason", "key_id", "store_path"}
KEYS |= {"store_version", "request_id", "detail", "prev_hash", "hash"}
CHECKPOINT = {"state", "seq", "hash", "time", "key", "signature"}
SEAL = {"state", "first", "last", "hash", "file", "time", "key", "signature"}


class Broken(Exception):
    """Something does not hold."""


def canonical(content):
    """Return the form of RFC 8785 of an object of texts, whole numbers and nulls."""
    if any(type(value) not in (str, int, type(None)) for value in content.values()):
        raise Broken("a value is neither text nor whole number nor null")
    return json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode(
        errors="backslashreplace"
    )


def whole(line, where):
    """Return the object in a line; one in which a key stands twice is none."""
    try:
        pairs = json.loads(line, object_pairs_hook=list)
        found = {key: dict(value) if type(value) is list else value for key, value in pairs}
    except (ValueError, TypeError):
        raise Broken(f"{where}: no JSON object") from None
    if len(found) != len(pairs):
        raise Broken(f"{where}: a key stands there twice")
    return found


class Check:
    """One walk along all files."""

    def __init__(self, trusted):
        self.trusted = trusted
        self.first = self.seq = self.prev = self.before = None
        self.seals, self.signed, self.last = [], {}, "not signed"

    def file(self, path):
        """Check one file after those before it."""
        digest, begin, seal = hashlib.sha256(), None, None
        with open(path, "rb") as lines:
            for number, line in enumerate(lines, 1):
                found = whole(line, where := f"{path}:{number}")
                if seal is not None:
                    raise Broken(f"{where}: stands after the seal")
                if found.keys() != {"seal"}:
                    self.record(found, where)
                    begin = begin or found["seq"]
                    digest.update(line)
                    continue
                seal = found["seal"]
                self.signature(seal, SEAL, where)
                ours = (begin, self.seq, self.prev, digest.hexdigest())
                if (seal["first"], seal["last"], seal["hash"], seal["file"]) != ours:
                    raise Broken(f"{where}: the lines are not those that were sealed")

    def record(self, record, where):
        """Check one record: its hash, its place, and what it says if it is a checkpoint."""
        if record.keys() != KEYS or type(record["seq"]) is not int:
            raise Broken(f"{where}: no record")
        seq = record["seq"]
        if self.seq is None:
            self.first, self.seq, self.prev = seq, seq - 1, "0" * 64 if seq == 1 else record["prev_hash"]
            self.before = self.prev
        if seq != self.seq + 1:
            raise Broken(f"record {seq} stands where {self.seq + 1} belongs")
        content = canonical({key: value for key, value in record.items() if key != "hash"})
        if record["hash"] != hashlib.sha256(content).hexdigest():
            raise Broken(f"record {seq} was changed after it was written")
        if record["prev_hash"] != self.prev:
            raise Broken(f"record {seq} does not follow the one before it")
        if record["event"] == "audit.checkpoint":
            self.checkpoint(record, seq)
        self.seq, self.prev = seq, record["hash"]

    def checkpoint(self, record, seq):
        """Check what a checkpoint or the record of a seal says."""
        said, sealed = whole(record["detail"] or "", f"record {seq}"), record["reason"] == "sealed"
        if not said.get("key") and not said.get("signature") and not sealed and not self.signed and not self.trusted:
            return  # there was no key yet
        self.signature(said, SEAL if sealed else CHECKPOINT, f"record {seq}")
        if sealed:
            self.seals.append(said)
        elif (said["seq"], said["hash"]) != (self.seq, self.prev):
            raise Broken(f"record {seq} is a checkpoint of another record than the one before it")
        self.last = f"last signature: record {seq}, {record['time']}"

    def signature(self, said, keys, where):
        """Check a signature, and count it for its key."""
        if not isinstance(said, dict) or said.keys() != keys:
            raise Broken(f"{where}: not in the form of a checkpoint or seal")
        text = b"rotator audit v1\n" + canonical({key: value for key, value in said.items() if key != "signature"})
        try:
            raw = base64.b64decode(said["key"], validate=True)
            Ed25519PublicKey.from_public_bytes(raw).verify(base64.b64decode(said["signature"], validate=True), text)
        except (InvalidSignature, ValueError, TypeError):
            raise Broken(f"{where}: the signature does not fit") from None
        name = hashlib.sha256(raw).hexdigest()
        if self.trusted and name != self.trusted:
            raise Broken(f"{where}: signed with key {name}, which is not the one that was named")
        self.signed[name] = self.signed.get(name, 0) + 1

    def end(self):
        """See that a chain that does not begin with record 1 has a seal for what is missing."""
        sealed = [(one["last"] + 1, one["hash"]) for one in self.seals]
        if self.first is not None and self.first > 1 and (self.first, self.before) not in sealed:
            raise Broken(f"records 1 to {self.first - 1} are missing, and no seal says what became of them")


def main():
    """Check the files that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--key", default="", help="fingerprint of the only key to trust")
    parser.add_argument("files", nargs="+", metavar="FILE")
    asked = parser.parse_args()
    check = Check(asked.key.lower())
    try:
        for path in asked.files:
            check.file(path)
        check.end()
    except OSError as error:
        parser.error(str(error))
    except Broken as error:
        print(f"BROKEN: {error}")
        return 4
    print(f"holds: records {check.first} to {check.seq}, head {check.prev}" if check.first else "there is no record")
    print(check.last, *(f"signed {count} times with key {name}" for name, count in check.signed.items()), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
