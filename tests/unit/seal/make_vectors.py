# SPDX-License-Identifier: Apache-2.0
"""Envelopes sealed by PyNaCl, for test_box.c. Run: python3 make_vectors.py > vectors.h (needs PyNaCl)."""
import base64
import hashlib

from nacl.public import Box, PrivateKey

SIZES = [0, 1, 2, 3, 15, 16, 17, 100, 1000]


def seeded(label, n):
    return hashlib.shake_256(label.encode()).digest(n)


def b64(raw):
    return base64.b64encode(bytes(raw)).decode()


def c_bytes(raw):
    rows = [", ".join(f"0x{b:02x}" for b in raw[i : i + 12]) for i in range(0, len(raw), 12)]
    return "{" + ",\n     ".join(rows) + "}"


def c_text(text):
    rows = [f'"{text[i : i + 80]}"' for i in range(0, len(text), 80)] or ['""']
    return "\n     ".join(rows)


def main():
    print("""/* SPDX-License-Identifier: Apache-2.0 */
/* Made by PyNaCl: python3 tests/unit/seal/make_vectors.py > tests/unit/seal/vectors.h
 * Each is what the holder of `secret` seals with `nonce` to the holder of `peer_secret`. */
#ifndef TESTS_SEAL_VECTORS_H
#define TESTS_SEAL_VECTORS_H

#include <stddef.h>
#include <stdint.h>

static const struct vector {
    uint8_t secret[32], peer_secret[32], nonce[24];
    const char *public_b64, *peer_public_b64;
    const char *plain_hex; /* the plaintext in hexadecimal */
    const char *sealed;
} vectors[] = {""")
    for n in SIZES:
        secret, peer = PrivateKey(seeded(f"secret {n}", 32)), PrivateKey(seeded(f"peer {n}", 32))
        nonce, plain = seeded(f"nonce {n}", 24), seeded(f"plain {n}", n)
        sealed = Box(secret, peer.public_key).encrypt(plain, nonce)
        fields = [c_bytes(bytes(secret)), c_bytes(bytes(peer)), c_bytes(nonce), c_text(b64(secret.public_key)),
                  c_text(b64(peer.public_key)), c_text(plain.hex()), c_text(b64(sealed))]
        print("    {" + ",\n     ".join(fields) + "},")
    print("};\n\n#endif")


main()
