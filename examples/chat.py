"""Hold a conversation of two turns. Run it: python examples/chat.py (needs: pip install openai)."""

import os

from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam

client = OpenAI(
    base_url=os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8787/v1"),
    api_key=os.environ.get("OPENAI_API_KEY", "none"),
)

messages: list[ChatCompletionMessageParam] = [{"role": "system", "content": "You answer in one sentence."}]

for question in ("What is a dragoman?", "And where does the word come from?"):
    messages.append({"role": "user", "content": question})
    response = client.chat.completions.create(model="sonnet", messages=messages)
    text = response.choices[0].message.content
    messages.append({"role": "assistant", "content": text})
    print(f"> {question}\n{text}\n")
