// Print a streamed response. Run it: node examples/chat.mjs (needs: npm install openai).
import OpenAI from "openai";

const client = new OpenAI({
  baseURL: process.env.OPENAI_BASE_URL ?? "http://127.0.0.1:8787/v1",
  apiKey: process.env.OPENAI_API_KEY ?? "none",
});

const stream = await client.chat.completions.create({
  model: "sonnet",
  messages: [{ role: "user", content: "Count to 10" }],
  stream: true,
});
for await (const chunk of stream) {
  process.stdout.write(chunk.choices[0]?.delta?.content ?? "");
}
console.log();
