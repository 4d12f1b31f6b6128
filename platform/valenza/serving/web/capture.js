// Runs beside the sound: gathers samples into small messages of signed 16-bit numbers.

const SECONDS = 0.04;

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.chunk = new Int16Array(Math.round(SECONDS * sampleRate));
    this.filled = 0;
  }

  process([channels]) {
    const count = channels.length;
    if (!count) return true; // nothing is connected at the moment
    for (let n = 0; n < channels[0].length; n += 1) {
      let sum = 0;
      for (const channel of channels) sum += channel[n];
      this.chunk[this.filled] = Math.max(-32768, Math.min(32767, Math.round((sum / count) * 32768)));
      this.filled += 1;
      if (this.filled === this.chunk.length) {
        this.port.postMessage(this.chunk.slice());
        this.filled = 0;
      }
    }
    return true;
  }
}

registerProcessor('capture', Capture);
