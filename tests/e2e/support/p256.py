# SPDX-License-Identifier: Apache-2.0
"""ECDSA over P-256 by the openssl command: independent of our own code, and no further Python package."""

import base64
import pathlib
import subprocess
import tempfile

# SubjectPublicKeyInfo (RFC 5480) of an uncompressed P-256 point, up to the point's X and Y.
SPKI_HEAD = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")


def openssl(*args, data=b""):
    return subprocess.run(["openssl", *args], input=data, capture_output=True, timeout=30)


def verifies(public_b64, message, signature_b64):
    """Whether the signature (base64 of DER) over the message is by the key (base64 of X and Y)."""
    point = base64.b64decode(public_b64)
    assert len(point) == 64, "a raw P-256 key is 64 bytes"
    with tempfile.TemporaryDirectory() as d:
        key, signature = pathlib.Path(d, "key.der"), pathlib.Path(d, "signature.der")
        key.write_bytes(SPKI_HEAD + point)
        signature.write_bytes(base64.b64decode(signature_b64))
        return openssl("dgst", "-sha256", "-keyform", "DER", "-verify", str(key), "-signature", str(signature),
                       data=message.encode()).returncode == 0


class Key:
    """A fresh key in a file."""

    def __init__(self, directory):
        self.path = pathlib.Path(directory, "p256.pem")
        made = openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(self.path))
        assert made.returncode == 0, made.stderr
        spki = openssl("ec", "-in", str(self.path), "-pubout", "-outform", "DER").stdout
        self.public = base64.b64encode(spki[-64:]).decode()

    def sign(self, message):
        done = openssl("dgst", "-sha256", "-sign", str(self.path), data=message.encode())
        assert done.returncode == 0, done.stderr
        return base64.b64encode(done.stdout).decode()
