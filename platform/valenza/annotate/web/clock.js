// The one clock: the audio's. Whatever moves is drawn at the time of the sound that leaves the loudspeaker now.

const LEAD = 0.05; // seconds between the order to play and the first sample, so that none is late
const PATIENCE = 5000; // milliseconds until sound that does not start is reported

export class Clock {
  #context = null;
  #source = null;
  #start = 0;
  #offset = 0;

  /** The samples of a file. Decoding needs no loudspeaker, so it may happen before the first key is pressed. */
  static decode(bytes) {
    return new OfflineAudioContext(1, 1, 16_000).decodeAudioData(bytes);
  }

  /** Open the sound. Browsers allow it only while a key or button is being pressed. Throws where no sound starts. */
  async wake() {
    this.#context ??= new AudioContext({ latencyHint: 'interactive' });
    if (this.#context.state === 'running') return;
    const late = new Promise((_, reject) => setTimeout(() => reject(new Error('no sound')), PATIENCE));
    await Promise.race([this.#context.resume(), late]);
  }

  /** Play from a time in seconds; what played before stops. */
  async play(buffer, offset) {
    this.stop();
    await this.wake();
    this.stop(); // two orders may have waited for the sound; the last one counts
    this.#source = new AudioBufferSourceNode(this.#context, { buffer });
    this.#source.connect(this.#context.destination);
    this.#offset = offset;
    this.#start = this.#context.currentTime + LEAD;
    this.#source.start(this.#start, offset);
  }

  stop() {
    this.#source?.stop();
    this.#source?.disconnect();
    this.#source = null;
  }

  /** Seconds of the audio that have left the loudspeaker, and not merely the program. */
  get heard() {
    const latency = this.#context.outputLatency || this.#context.baseLatency || 0;
    return this.#offset + Math.max(0, this.#context.currentTime - latency - this.#start);
  }

  /** Three soft notes; returns how long they last, in seconds. */
  async chime() {
    await this.wake();
    const start = this.#context.currentTime + LEAD;
    [523.25, 659.25, 783.99].forEach((frequency, number) => {
      const begin = start + 0.28 * number;
      const gain = new GainNode(this.#context, { gain: 0 });
      gain.gain.setValueAtTime(0, begin);
      gain.gain.linearRampToValueAtTime(0.16, begin + 0.03);
      gain.gain.exponentialRampToValueAtTime(0.0008, begin + 0.9);
      const tone = new OscillatorNode(this.#context, { frequency });
      tone.connect(gain).connect(this.#context.destination);
      tone.start(begin);
      tone.stop(begin + 1);
    });
    return 1.5;
  }
}
