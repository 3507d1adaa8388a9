// Requests to the service that sent this page. What it refuses is thrown as its one line.
import { askToken, token } from "./token.js";
import { oneLine } from "./words.js";

export class Refusal extends Error {
  constructor(status, message, wait = 0) {
    super(message);
    this.status = status; // of HTTP; 0: there was no answer
    this.wait = wait; // s, which the service asks to wait
  }
}

export async function call(path, { query = {}, ...request } = {}) {
  const asked = new URLSearchParams(query).toString();
  for (;;) {
    const used = token(), headers = { Accept: "application/json", ...request.headers };
    if (used !== null) headers.Authorization = `Bearer ${used}`;
    const answer = await send(asked ? `${path}?${asked}` : path, { ...request, headers });
    if (answer.ok) return read(answer);
    // Another request may have brought a token meanwhile.
    if (answer.status === 401 && (token() !== used || (await askToken()))) continue;
    throw new Refusal(answer.status, await reason(answer), Number(answer.headers.get("Retry-After")) || 0);
  }
}
async function send(address, request) {
  try {
    return await fetch(address, { cache: "no-store", ...request });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, "The service cannot be reached.");
  }
}
async function read(answer) {
  try {
    return await answer.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, "The service's answer broke off.");
  }
}
async function reason(answer) {
  const text = await answer.text().catch(() => "");
  try {
    return oneLine(JSON.parse(text).error ?? text);
  } catch { // not from the service itself
    return `The service answered ${oneLine(`${answer.status} ${answer.statusText}`)}.`;
  }
}
