"""Warnings to the client: what was ignored or changed.

The codes are stable between versions. Clients read them in the header `x-dragoman-warnings`:

- `ignored`: the field has no effect;
- `clamped`: a value was out of range, and the nearest allowed one was used;
- `mapped`: a value was replaced by a similar one;
- `moved`: a part of the conversation was sent in another position;
- `joined`: the parts of a message were sent as one text;
- `left_out`: a part of the conversation was not sent, such as thinking that Claude would reject;
- `renamed`: ids of tool calls were replaced by valid or unique ones;
- `replaced`: half of a character, which no text may contain, was replaced by U+FFFD;
- `resized`: an image is larger than what Claude reads;
- `trimmed`: white space at the end of a message was removed;
- `truncated`: the model read only the beginning of a text;
- `schema_mismatch`: the arguments of a tool call do not match its schema;
- `retried`: a response did not match its schema, and was requested once more;
- `not_kept`: the response could not be stored;
- `unknown`: a number that the client expects is not known.
"""

from dragoman.core.value_object import value_object


@value_object
class RequestWarning:
    """A warning about a request.

    Attributes:
        code: One of the codes above.
        param: The request field.
        detail: A sentence for people.
    """

    code: str
    param: str
    detail: str
