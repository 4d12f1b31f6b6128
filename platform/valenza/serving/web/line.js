// The socket to the server, as docs/serving.md describes it.

const PATIENCE = 10_000; // milliseconds until a server that does not answer is given up
const BEHIND = 2_000_000; // bytes that wait to be sent: the line is too slow for sound

/** A stream: `said(message)` is called with every message, `closed(reason)` once, with words where it was not by plan. */
export class Line {
  #socket;
  #closed;
  #done = false;

  constructor(said, closed) {
    this.#closed = closed;
    const url = new URL('/stream', window.location.href);
    url.protocol = url.protocol.replace('http', 'ws');
    this.#socket = new WebSocket(url);
    this.#socket.binaryType = 'arraybuffer';
    this.ready = new Promise((resolve, reject) => {
      const late = setTimeout(() => this.#end('The server does not answer.'), PATIENCE);
      this.#socket.onmessage = ({ data }) => {
        clearTimeout(late);
        const message = JSON.parse(data);
        if (message.type === 'ready') resolve(message);
        else {
          this.#done ||= message.type === 'end';
          said(message);
        }
      };
      this.#socket.onclose = ({ code, reason }) => {
        clearTimeout(late);
        reject(new Error(reason || 'The server cannot be reached.'));
        this.#end(this.#done || code === 1000 ? '' : reason || 'The connection was lost.');
      };
    });
    this.ready.catch(() => {}); // whoever waits is told; nobody may be
  }

  settings(settings) {
    this.#socket.send(JSON.stringify(settings));
  }

  audio(samples) {
    if (this.#socket.readyState !== WebSocket.OPEN) return;
    if (this.#socket.bufferedAmount > BEHIND) this.#end('The connection is too slow for sound.');
    else this.#socket.send(samples);
  }

  /** There is no more sound: the server says what is left, and closes. */
  finish() {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send('end');
  }

  /** Nothing more is wanted: the place on the server is free at once. A stream that has ended is closed by the server. */
  close() {
    if (!this.#done) this.#end('');
  }

  #end(reason) {
    this.#closed?.(reason);
    this.#closed = null;
    if (this.#socket.readyState <= WebSocket.OPEN) this.#socket.close();
  }
}
