"""Signatures of thinking blocks: they prove that the simulator made a block, and bind it to a conversation.

The real signature is opaque. The simulator's is base64 of the binding (prefix, model and account; zeros for models that
do not bind thinking) and of an HMAC over the text and the binding. So a changed block and a moved block can be
distinguished.
"""

import base64
import hashlib
import hmac

from dragoman.core.catalog import Model
from dragoman.core.value_object import value_object
from dragoman.simulator.media import decode_base64

_KEY = b"dragoman simulator"
_PART_BYTES = 16


@value_object
class Binding:
    """The conversation that a thinking block belongs to.

    Attributes:
        prefix: 16 bytes of the hash of everything before the block.
        model: 16 bytes for the model.
        account: 16 bytes for the account.
    """

    prefix: bytes
    model: bytes
    account: bytes

    def encode(self) -> bytes:
        """Return the three parts in a row."""
        return self.prefix + self.model + self.account


def binding_for(model: Model, prefix: bytes, credential: str) -> Binding:
    """Return the binding of a block of this model after this prefix. It is empty for models that do not bind."""
    if not model.bound_thinking:
        return Binding(bytes(_PART_BYTES), bytes(_PART_BYTES), bytes(_PART_BYTES))
    family = hashlib.sha256(model.id.rsplit("-20", 1)[0].encode()).digest()[:_PART_BYTES]
    account = hashlib.sha256(credential.encode()).digest()[:_PART_BYTES]
    return Binding(prefix[:_PART_BYTES], family, account if "sonnet" in model.id else bytes(_PART_BYTES))


def sign(text: str, binding: Binding) -> str:
    """Return the signature of a thinking block, or the data of a redacted one."""
    encoded = binding.encode()
    return base64.b64encode(encoded + _mac(text, encoded)).decode()


def read_binding(signature: str, text: str) -> Binding | None:
    """Return the binding in a signature, or None if the simulator did not sign this text with it."""
    data = decode_base64(signature) or b""
    encoded, mac = data[: 3 * _PART_BYTES], data[3 * _PART_BYTES :]
    if not hmac.compare_digest(mac, _mac(text, encoded)):
        return None
    return Binding(encoded[:_PART_BYTES], encoded[_PART_BYTES : 2 * _PART_BYTES], encoded[2 * _PART_BYTES :])


def _mac(text: str, encoded_binding: bytes) -> bytes:
    return hmac.digest(_KEY, text.encode() + b"\0" + encoded_binding, "sha256")
