"""Signatures of thinking blocks: what makes them the simulator's own, and binds them to a conversation.

The real signature is opaque. Ours is base64 of the binding (the prefix, the model and the account; zeros on models
whose thinking is not bound) and of an HMAC over text and binding, so that a block that was altered and one that was
moved can be told apart.
"""

import base64
import hashlib
import hmac
from dataclasses import dataclass

from dragoman.core.catalog import Model
from dragoman.simulator.media import decoded

_KEY = b"dragoman simulator"
_PART = 16


@dataclass(frozen=True, slots=True)
class Binding:
    """What a thinking block belongs to: 16 bytes each for prefix, model and account."""

    prefix: bytes
    model: bytes
    account: bytes

    def encoded(self) -> bytes:
        """The three parts in a row."""
        return self.prefix + self.model + self.account


def binding_of(model: Model, prefix: bytes, credential: str) -> Binding:
    """What a block of this model belongs to after this prefix: on models that do not bind, nothing."""
    if not model.bound_thinking:
        return Binding(bytes(_PART), bytes(_PART), bytes(_PART))
    family = hashlib.sha256(model.id.rsplit("-20", 1)[0].encode()).digest()[:_PART]
    account = hashlib.sha256(credential.encode()).digest()[:_PART]
    return Binding(prefix[:_PART], family, account if "sonnet" in model.id else bytes(_PART))


def sign(text: str, binding: Binding) -> str:
    """The signature of a thinking block, or the data of a redacted one."""
    bound = binding.encoded()
    mac = hmac.digest(_KEY, text.encode() + b"\0" + bound, "sha256")
    return base64.b64encode(bound + mac).decode()


def binding_in(signature: str, text: str) -> Binding | None:
    """What a signature binds its block to, or None where the simulator never signed this text so."""
    data = decoded(signature) or b""
    bound, mac = data[: 3 * _PART], data[3 * _PART :]
    if not hmac.compare_digest(mac, hmac.digest(_KEY, text.encode() + b"\0" + bound, "sha256")):
        return None
    return Binding(bound[:_PART], bound[_PART : 2 * _PART], bound[2 * _PART :])
