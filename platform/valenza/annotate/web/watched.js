// How much of a track a person has seen of one face.

const BINS = 50; // a second
const LONGEST_GAP = 1; // second between two pictures; in a longer one, a window was covered or a computer stood still

export class Watched {
  #bins;
  #seen = 0;

  constructor(seconds) {
    this.#bins = new Uint8Array(Math.max(1, Math.ceil(seconds * BINS - 1e-6)));
  }

  /** The face was shown from one time of the audio to another, in seconds. */
  saw(from, to) {
    if (to - from > LONGEST_GAP) return;
    const last = Math.min(this.#bins.length, Math.ceil(to * BINS));
    for (let bin = Math.max(0, Math.floor(from * BINS)); bin < last; bin += 1) {
      this.#seen += 1 - this.#bins[bin];
      this.#bins[bin] = 1;
    }
  }

  /** From 0 to 1. */
  get share() {
    return this.#seen / this.#bins.length;
  }
}
