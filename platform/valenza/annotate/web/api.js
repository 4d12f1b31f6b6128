// Requests to the server: one header, no cookies, and patience while the server is away.

const LONGEST_WAIT = 15_000; // between two tries, in milliseconds
const TIME_LIMIT = 20_000; // for one try

/** The server answered, and the answer is no; `status` is the HTTP status. */
export class Refused extends Error {
  constructor(status) {
    super(`refused with ${status}`);
    this.status = status;
  }
}

/** The server could not be asked; `cause` is "network", "busy" or "server". */
class Away extends Error {}

/** The invitation's token: from the address, which keeps it so that a reload and a bookmark work, else from this tab's past. */
export function invitation() {
  const given = location.hash.slice(1).trim();
  if (/^[\w.~+/=-]{1,512}$/.test(given)) {
    sessionStorage.setItem('valenza.invitation', given);
    return given;
  }
  return given ? null : sessionStorage.getItem('valenza.invitation');
}

/** An id that nobody else makes. `crypto.randomUUID` is missing on plain http except on localhost. */
export function uuid() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** The line to the server: asks until it is answered, and says when it is away. */
export class Line {
  #token;
  #away;
  #wake = () => {};

  /** `away(cause)` is called with the cause of each failed try, and with null when an answer comes after one. */
  constructor(token, away) {
    this.#token = token;
    this.#away = away;
    window.addEventListener('online', () => this.tryNow());
  }

  /** End the waiting between two tries. */
  tryNow() {
    this.#wake();
  }

  /** JSON of a GET, or of a POST where there is a body; throws `Refused`. */
  async ask(path, body) {
    return (await this.#persist(path, body)).json;
  }

  /** The bytes of a GET; throws `Refused`. */
  async bytes(path) {
    return (await this.#persist(path, undefined, true)).bytes;
  }

  async #persist(path, body, binary = false) {
    for (let wait = 500, failed = false; ; wait = Math.min(2 * wait, LONGEST_WAIT)) {
      try {
        const answer = await this.#once(path, body, binary);
        if (failed) this.#away(null);
        return answer;
      } catch (error) {
        if (!(error instanceof Away)) {
          if (failed) this.#away(null);
          throw error;
        }
        failed = true;
        this.#away(error.message);
      }
      await this.#pause(wait * (0.75 + Math.random() / 2)); // spread, or all come back at once
    }
  }

  async #once(path, body, binary) {
    const headers = { Authorization: `Bearer ${this.#token}` };
    if (body !== undefined) headers['Content-Type'] = 'application/json';
    const request = {
      method: body === undefined ? 'GET' : 'POST',
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: 'omit',
      cache: 'no-store',
      signal: AbortSignal.timeout(TIME_LIMIT),
    };
    let response;
    try {
      response = await fetch(path, request);
      if (response.ok) return binary ? { bytes: await response.arrayBuffer() } : { json: await response.json() };
    } catch {
      throw new Away('network');
    }
    if (response.status === 503 || response.status === 429) throw new Away('busy');
    if (response.status >= 500 || response.status === 408) throw new Away('server');
    throw new Refused(response.status);
  }

  #pause(milliseconds) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
