// What was answered and not yet acknowledged. It outlives a reload, and each message has an id, so that sending twice counts once.

import { Refused } from './api.js';

export class Outbox {
  #line;
  #key;
  #messages;

  /** `annotator` keeps two invitations in one browser apart. */
  constructor(line, annotator) {
    this.#line = line;
    this.#key = `valenza.outbox.${annotator}`;
    this.#messages = this.#read();
  }

  get size() {
    return this.#messages.length;
  }

  /** Keep a message, send it and all before it, and return the answer to it; throws `Refused`. */
  async send(path, body) {
    this.#messages.push({ path, body });
    this.#write();
    return this.flush();
  }

  /** Send what is kept, oldest first, and return the last answer, or null where nothing was kept; throws `Refused`. */
  async flush() {
    let answer = null;
    while (this.#messages.length) {
      const { path, body } = this.#messages[0];
      try {
        answer = await this.#line.ask(path, body);
      } catch (error) {
        // A pair that is not due, or a malformed answer, is refused for good; a link or a consent may be mended.
        if (error instanceof Refused && error.status !== 401 && error.status !== 403) this.#shift();
        throw error;
      }
      this.#shift();
    }
    return answer;
  }

  #shift() {
    this.#messages.shift();
    this.#write();
  }

  #read() {
    try {
      const kept = JSON.parse(localStorage.getItem(this.#key) ?? '[]');
      return Array.isArray(kept) ? kept : [];
    } catch {
      return [];
    }
  }

  #write() {
    try {
      if (this.#messages.length) localStorage.setItem(this.#key, JSON.stringify(this.#messages));
      else localStorage.removeItem(this.#key);
    } catch {
      // Storage is switched off or full: the message is still in memory, and lost only by a reload.
    }
  }
}
