"""Audit format: the test vectors of docs/reference/audit-format.md hold."""

# ruff: noqa: E501  the lines of a page, and the rows of its tables

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from rotator.chain import KEYS, ZEROS, Value, canonical, first_break, record_of, spell_time
from rotator.event import Event, EventName, Outcome
from rotator.exports.signing import Signer
from rotator.seals import CHECKPOINT, SIGNED_FOR, Checkpoint, fingerprint, signed_text, text_of

RFC_8032_TEST_1 = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="
"""The secret key of RFC 8032, section 7.1, test 1, in base64: everybody knows it."""

_START = datetime(2026, 11, 24, 14, 1, 7, 123456, UTC)
_STATE = "00112233445566778899aabbccddeeff"


def faults() -> list[str]:
    """Return what is wrong with the vectors."""
    broken = first_break(vectors())
    return [] if broken is None else [f"the vectors of docs/reference/audit-format.md do not hold: {broken.reason}"]


def signer() -> Signer:
    """Return who signs the vectors."""
    return Signer(lambda: RFC_8032_TEST_1)


def vectors() -> list[dict[str, Value]]:
    """Return three records: a plain one, one with texts that are hard to escape, and a signed checkpoint."""
    events = [
        Event(EventName.DAEMON_STARTED, "root", detail="rotator 0.1.0"),
        Event(
            EventName.VERSION_PROMOTED,
            "dana",
            credential="kontrolle-plus-prod",
            rotation_id="0192f0c4",
            outcome=Outcome.SUCCEEDED,
            reason="proved",
            key_id="7f3c0c52",
            store_path="kv/partners/x",
            store_version=7,
            detail='"quoted" \\ back, ümlaut, 日本',
        ),
    ]
    made: list[dict[str, Value]] = []
    for number, event in enumerate(events, 1):
        previous = str(made[-1]["hash"]) if made else ZEROS
        made.append(record_of(event, number, _START + timedelta(seconds=number), previous))
    last = made[-1]
    time = _START + timedelta(seconds=3)
    said = Checkpoint(state=_STATE, seq=2, hash=str(last["hash"]), time=spell_time(time))
    detail = text_of(signer().signed(said))
    event = Event(EventName.AUDIT_CHECKPOINT, "daemon", reason=CHECKPOINT, detail=detail)
    made.append(record_of(event, 3, time, str(last["hash"])))
    return made


_PAGE = """\
# The form of the audit log

Generated, vectors and all, by `python -m tests.checks.reference`. With this page the record can be checked without rotator;
`tools/verify_audit.py` does so in less than 150 lines of Python and needs nothing else of this project:

```console
$ rotator audit export --out audit.jsonl
$ python tools/verify_audit.py --key FINGERPRINT segment-1.jsonl segment-2.jsonl audit.jsonl
```

It ends with 0 when all holds and with 4 at the first thing that does not. The fingerprint is what `rotator audit verify`
prints; write it down where whoever runs rotator cannot change it. An export with filters has gaps, and is no chain. A break
that somebody has accepted (`rotator audit accept`) is a break here too: read the record `audit.accepted` that follows it.

## Records

One JSON object a line, UTF-8, with these keys, no other and none missing: {keys}.

- `seq` is a whole number, from 1, each one more than the one before.
- `time` is RFC 3339 in UTC with six decimals; each other value is a text of at most 512 characters, or null;
  `store_version` a whole number or null.
- `hash` is SHA-256, in hex, over the form that RFC 8785 (JSON Canonicalization Scheme) gives the record without `hash`. For
  such flat objects that is: keys in order, no blanks, nothing escaped but what JSON must have escaped, UTF-8.
- `prev_hash` is the `hash` of the record before; in record 1 it is 64 zeros.

## Checkpoints

A record of the event `audit.checkpoint` with the reason `checkpoint`. Its `detail` is a JSON object in the same form:

| key | meaning |
|---|---|
| `state` | the id of the state, 32 hex digits |
| `seq`, `hash` | number and hash of the record before this one |
| `time` | when, as in records |
| `key` | the Ed25519 public key, 32 bytes in base64; empty where nobody signs |
| `signature` | Ed25519 (RFC 8032), in base64, over `{signed_for}` and the detail without `signature` in the form of RFC 8785 |

The fingerprint of a key is SHA-256, in hex, of its 32 bytes. A signed checkpoint vouches for all records before it: nobody
without the key can write them anew. What comes after the last checkpoint is held by the head in the stores alone.

## Seals and segments

`rotator audit prune` writes a segment: the lines of the records `first` to `last` as above, and one more line
`{{"seal": {{…}}}}`. The same object is the `detail` of a record `audit.checkpoint` with the reason `sealed`. It has `state`,
`time`, `key` and `signature` like a checkpoint, and

| key | meaning |
|---|---|
| `first`, `last` | the records it stands for |
| `hash` | the hash of the last of them |
| `file` | SHA-256, in hex, of their lines in the segment, line ends (LF) included, without the line of the seal |

A chain may begin with record n + 1 if a later record is a seal with `last` n and its `hash` is the first record's
`prev_hash`.

## Test vectors

The key is the secret key of RFC 8032, section 7.1, test 1; its fingerprint is `{fingerprint}`.

Three records:

```json
{records}
```

What is hashed of the second:

```text
{hashed}
```

What is signed in the third, after the line `rotator audit v1` and a line feed:

```text
{signed}
```
"""


def page() -> str:
    """Return the page."""
    made = vectors()
    said = Checkpoint(**json.loads(str(made[2]["detail"])))
    second = {key: value for key, value in made[1].items() if key != "hash"}
    return _PAGE.format(
        keys=", ".join(f"`{key}`" for key in KEYS),
        signed_for=SIGNED_FOR.decode().replace("\n", "\\n"),
        fingerprint=fingerprint(said.key),
        records="\n".join(json.dumps(one, ensure_ascii=False, separators=(",", ":")) for one in made),
        hashed=canonical(second).decode(),
        signed=signed_text(said).decode().partition("\n")[2],
    )
