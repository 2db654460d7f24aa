"""Judges the checkpoints and seals of a chain by their signatures, one after the other. It reads no state.

Whom to trust: the key of the configuration. Before its first signature there may be those of the key before it; after
that nobody else's count. Where the key is not known here, each signature is checked with the key that it names, which
shows that they fit, not who made them.
"""

from __future__ import annotations

from rotator.chain import Place, Record
from rotator.seals import Checkpoint, Said, Seal, fingerprint, said_in


class Heard:
    """A `Witness` for one walk. trusted: the public key that counts, in base64; None: not known here."""

    def __init__(self, trusted: str | None) -> None:
        self._trusted = trusted
        self._vouched = False
        self.last: tuple[int, Said] | None = None
        """The last one that is signed and beyond doubt, with the number of its record."""
        self.signed = 0
        self.unsigned = 0
        self.others: dict[str, int] = {}
        """Fingerprints of keys that are not the trusted one, with the last record that each has signed."""

    def hear(self, record: Record, before: Place) -> str | None:
        """Say why a record of the event `audit.checkpoint` should not be believed; None when it may be."""
        seq = int(str(record.get("seq")))
        said = said_in(record)
        if said is None:
            return f"Record {seq} is a checkpoint that does not have the form of one."
        if isinstance(said, Checkpoint) and (said.seq, said.hash) != (before.seq, before.hash):
            return f"Record {seq} is a checkpoint of another record than the one before it."
        if isinstance(said, Seal) and said.last >= before.seq:
            return f"Record {seq} seals record {said.last}, which is not before it."
        return self._judge(seq, said)

    def _judge(self, seq: int, said: Said) -> str | None:
        from rotator.exports.signing import is_signed

        what = "seal" if isinstance(said, Seal) else "checkpoint"
        if not said.key and not said.signature:
            self.unsigned += 1
            if self._vouched or isinstance(said, Seal):
                return f"Record {seq} is a {what} that nobody has signed."
            return None
        if not is_signed(said):
            return f"Record {seq} is a {what} whose signature was not made with the key that it names."
        if self._trusted is not None and said.key != self._trusted:
            if self._vouched:
                return f"Record {seq} is a {what} signed with key {fingerprint(said.key)[:16]}, which is not ours."
            self.others[fingerprint(said.key)] = seq
        self._vouched = self._vouched or said.key == self._trusted
        self.signed += 1
        self.last = (seq, said)
        return None

    def last_word(self) -> tuple[int, str] | None:
        """Say so when our key has signed nothing, and another one has."""
        if self._trusted is None or self._vouched or not self.others:
            return None
        key, seq = max(self.others.items(), key=lambda one: one[1])
        return seq, f"Record {seq} is signed with key {key[:16]}, and none with the key of the configuration."
