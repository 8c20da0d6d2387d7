// Asks the server, and words what goes wrong. The only place that does.

const TITLES = {
  400: "The server cannot use this picture.",
  404: "The server does not have this.",
  408: "That took too long.",
  413: "The picture is too large.",
  415: "The server cannot use this picture.",
  429: "The server is busy.",
  503: "The server is not ready.",
  504: "That took too long.",
};
const FINAL = [400, 413, 415]; // asking again would give the same

let token = ""; // until the page is closed

/** Why there is no answer: a title, a text, and whether it is worth asking again. */
export class Refusal extends Error {
  constructor(title, text = "", again = true) {
    super(text);
    Object.assign(this, { title, again });
  }
}

/**
 * Asks the server, and for a token where it wants one.
 *
 * @param path relative to the page
 * @param options as those of `fetch`; a `signal` that is aborted ends it with an AbortError
 * @returns the response, and the milliseconds until all of it was there as `text`
 * @throws Refusal
 */
export async function ask(path, options = {}) {
  const headers = { ...options.headers, ...(token && { Authorization: `Bearer ${token}` }) }, start = performance.now();
  let response, text;
  try {
    response = await fetch(path, { ...options, headers });
    text = await response.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal("No connection to the server.", "It may have stopped, or the network is down.");
  }
  if (response.ok) return { text, milliseconds: performance.now() - start };
  if (response.status === 401) {
    token = await wantedToken(token ? "The one that you gave is not right." : "Whoever runs it can give you one.");
    return ask(path, options);
  }
  throw refusal(response, text);
}

function refusal(response, text) {
  const { status } = response, title = TITLES[status] ?? `The server could not answer (${status}).`;
  if (status === 429 || status === 503) {
    const seconds = Number(response.headers.get("Retry-After"));
    return new Refusal(title, `Try again in ${seconds > 1 ? `${seconds} seconds` : "a moment"}.`);
  }
  let told = "";
  try {
    told = JSON.parse(text).error.replace(/^./, (letter) => letter.toUpperCase()).replace(/[^.]$/, "$&.");
  } catch { /* not from this server, but from a proxy before it */ }
  return new Refusal(title, told, !FINAL.includes(status));
}

/** Asks for a token by the page's dialog. */
function wantedToken(text) {
  const [dialog, form, input] = ["token-dialog", "token-form", "token"].map((id) => document.getElementById(id));
  document.getElementById("token-text").textContent = text;
  input.value = "";
  dialog.showModal();
  return new Promise((resolve, reject) => {
    form.onsubmit = () => resolve(input.value); // the dialog closes by itself
    dialog.onclose = () => reject(new Refusal("The server wants a token.")); // nothing happens where there is one
  });
}
