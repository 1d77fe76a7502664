"""Checks a fapiao log's proofs of inclusion with sigstore: notes by its checkpoint machinery, paths by its RFC 6962 code.

    follow.py URL ORIGIN PUBLIC-KEY-HEX WITNESS-VERIFIER-KEY

The key is the log's checkpoint key, the origin its name; the witness is one that has to have cosigned the newest checkpoint within the last day. Ends with status 0 if every leaf of the newest checkpoint is shown to be in it, else with 1 and
what does not hold.
"""

import base64
import hashlib
import json
import sys
import time
import urllib.request
from types import SimpleNamespace

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sigstore._internal.merkle import verify_merkle_inclusion
from sigstore._internal.rekor.checkpoint import SignedCheckpoint, SignedNote, verify_checkpoint
from sigstore._internal.trust import Keyring
from sigstore.errors import VerificationError
from sigstore_models.common import v1 as common


def get(url):
    with urllib.request.urlopen(url) as reply:
        return reply.read()


def keyring(public):
    der = Ed25519PublicKey.from_public_bytes(public).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Keyring([common.PublicKey(raw_bytes=base64.b64encode(der), key_details=common.PublicKeyDetails.PKIX_ED25519)])


def cosigned(note, witness):
    """The library knows no cosignatures (c2sp.org/tlog-cosignature), but reads the lines of a note and has the curve."""
    name, key_hash, encoded = witness.split("+", 2)
    kind, public = base64.b64decode(encoded)[:1], base64.b64decode(encoded)[1:]
    if kind != b"\x04" or hashlib.sha256(name.encode() + b"\n" + kind + public).hexdigest()[:8] != key_hash:
        raise VerificationError("no verifier key of a witness")
    text = note.split("\n\n")[0] + "\n"
    for line in SignedNote.from_text(note).signatures:
        raw = base64.b64decode(line.signature)
        if line.name != name or line.sig_hash.hex() != key_hash:
            continue
        seen = int.from_bytes(raw[:8], "big")
        try:
            Ed25519PublicKey.from_public_bytes(public).verify(raw[8:], f"cosignature/v1\ntime {seen}\n{text}".encode())
        except InvalidSignature as error:
            raise VerificationError("the cosignature is wrong") from error
        if not -300 < time.time() - seen < 86_400:
            raise VerificationError("cosigned at another time")
        return
    raise VerificationError("not cosigned")


def follow(url, origin, public, witness):
    keys = keyring(public)
    # C2SP's key hash, which the library looks for at the beginning of a log's id.
    log_id = hashlib.sha256(origin.encode() + b"\n\x01" + public).digest()
    newest = get(f"{url}/checkpoint").decode()
    cosigned(newest, witness)
    size = SignedCheckpoint.from_text(newest).checkpoint.log_size
    for index in range(size):
        proof = json.loads(get(f"{url}/v1/proofs/inclusion?index={index}&size={size}"))
        signed = SignedCheckpoint.from_text(proof["checkpoint"])
        # The library takes index, size and root from an entry whose parts it compares elsewhere.
        if signed.checkpoint.origin != origin or signed.checkpoint.log_size != size or proof["index"] != index:
            raise VerificationError("the proof is about something else")
        inclusion_proof = SimpleNamespace(
            log_index=index,
            tree_size=size,
            hashes=[bytes.fromhex(text) for text in proof["path"]],
            root_hash=bytes.fromhex(signed.checkpoint.log_hash),
            checkpoint=SimpleNamespace(envelope=proof["checkpoint"]),
        )
        entry = SimpleNamespace(
            _inner=SimpleNamespace(
                canonicalized_body=bytes.fromhex(proof["leaf"]),
                inclusion_proof=inclusion_proof,
                log_id=SimpleNamespace(key_id=log_id),
            )
        )
        verify_merkle_inclusion(entry)
        verify_checkpoint(keys, entry)
        inclusion_proof.checkpoint.envelope = newest
        verify_checkpoint(keys, entry)
    return size


if __name__ == "__main__":
    if len(sys.argv) != 5:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    try:
        leaves = follow(sys.argv[1], sys.argv[2], bytes.fromhex(sys.argv[3]), sys.argv[4])
    except (VerificationError, ValueError, OSError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(1)
    print(f"all {leaves} leaves hold")
