// Runs beside the sound: gathers samples, or means of `every` of them, into small messages of signed 16-bit numbers.

const SECONDS = 0.04;

class Capture extends AudioWorkletProcessor {
  constructor({ processorOptions: { every } }) {
    super();
    this.every = every;
    this.sum = 0;
    this.summed = 0;
    this.chunk = new Int16Array(Math.round((SECONDS * sampleRate) / every));
    this.filled = 0;
  }

  process([channels]) {
    const count = channels.length;
    if (!count) return true; // nothing is connected at the moment
    for (let n = 0; n < channels[0].length; n += 1) {
      for (const channel of channels) this.sum += channel[n] / count;
      this.summed += 1;
      if (this.summed < this.every) continue;
      this.chunk[this.filled] = Math.max(-32768, Math.min(32767, Math.round((this.sum / this.every) * 32768)));
      this.sum = 0;
      this.summed = 0;
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
