"""Signing with a key that never leaves its token: a smart card, an HSM, a cloud's PKCS #11 module.

Needs the package `python-pkcs11` (`pip install obverse[pkcs11]`) and the token's own module.
"""

import dataclasses
import hashlib
import os
from typing import Any

from obverse.errors import ProvenanceError

__all__ = ["PIN_VARIABLE", "Pkcs11Key"]

PIN_VARIABLE = "OBVERSE_PKCS11_PIN"  # the PIN is never written to a disk
_HASHES = {"es256": "sha256", "es384": "sha384", "es512": "sha512", "ps256": "sha256"}


@dataclasses.dataclass(frozen=True, slots=True)
class Pkcs11Key:
    """A private key in a token; called with bytes it returns their signature, as C2PA wants it.

    Only names are kept, so it travels to other processes, each of which opens the token itself.
    """

    module: str  # the path of the token's PKCS #11 library
    token: str  # the token's label
    label: str  # the key's label
    algorithm: str  # es256, es384, es512, ps256 or ed25519

    def __call__(self, data: bytes) -> bytes:
        """Sign.

        Raises:
            ProvenanceError: the module, the token, the key or the PIN is not there or is wrong.
        """
        try:
            import pkcs11
        except ImportError as error:
            raise ProvenanceError(
                "a PKCS #11 token needs the package python-pkcs11; pip install obverse[pkcs11]."
            ) from error
        try:
            token = pkcs11.lib(self.module).get_token(token_label=self.token)
            with token.open(user_pin=os.environ.get(PIN_VARIABLE)) as session:
                key = session.get_key(object_class=pkcs11.ObjectClass.PRIVATE_KEY, label=self.label)
                return self._sign(pkcs11, key, data)
        except (pkcs11.PKCS11Error, RuntimeError, OSError) as error:
            reason = str(error) or type(error).__name__
            raise ProvenanceError(
                f"key {self.label!r} of token {self.token!r} did not sign ({reason}); look at the "
                f"module {self.module}, the labels, and the PIN in {PIN_VARIABLE}."
            ) from error

    def _sign(self, pkcs11: Any, key: Any, data: bytes) -> bytes:
        if self.algorithm == "ed25519":
            return bytes(key.sign(data, mechanism=pkcs11.Mechanism.EDDSA))
        digest = hashlib.new(_HASHES[self.algorithm], data).digest()
        if self.algorithm == "ps256":
            parameters = (pkcs11.Mechanism.SHA256, pkcs11.MGF.SHA256, len(digest))
            mechanism = pkcs11.Mechanism.RSA_PKCS_PSS
            return bytes(key.sign(digest, mechanism=mechanism, mechanism_param=parameters))
        # The token hashes nothing: many know plain ECDSA only. It answers r and s side by side,
        # which is COSE's own form.
        return bytes(key.sign(digest, mechanism=pkcs11.Mechanism.ECDSA))
