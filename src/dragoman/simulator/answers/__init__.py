"""The content of responses: deterministic answers to plain instructions in the prompt.

| the user's last text | the answer |
|---|---|
| `Reply with exactly: X` | X, to the end of that line |
| names an offered tool, then a JSON object | a `tool_use` with that input; several in the order of their names |
| `Use` or `Call` and an offered tool's name | a `tool_use`; its input is built from the quoted strings and numbers |
| `What is the X`, with a tool `get_X` offered | a `tool_use` of that tool, with an input built in the same way |
| `Count to N` | `1 2 3 … N`, one number per delta |
| `Repeat N times: X` | X N times, separated by a space |
| `Search the web for "X"`, with the server tool offered | a search, its results, and a text with citations |
| asks for JSON, with a JSON schema in the text or the system prompt | an object that fits, fenced if asked for |
| asks for `a JSON object`, or the system prompt does | a small JSON object |
| `Create F that prints 'X'`, if the prompt asks for SEARCH/REPLACE blocks | such a block |
| anything else | `You said: ` and the text, with each attachment named |

These come first: `tool_choice` `any` or `tool` calls a tool. So does `You must answer by calling the tool `X`` (or
`at least one of the tools`) in the system prompt. With `output_config.format` (or `output_format`), or a tool named
`StructuredOutput`, the answer is an object that fits the schema. Tool results without a newer text are quoted: `The
tool said: …`. The input of a forced call and the values of a schema are the prompt's quoted strings and numbers, in
order.
"""
