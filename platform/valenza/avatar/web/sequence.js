// Emotion over time, as Python's valenza.labels.sequences reads it.

/** Mixtures at rising times (seconds); between two of them the mixture moves in a straight line, and the ends are held. */
export class Sequence {
  constructor(times, mixtures) {
    if (!times.length || times.length !== mixtures.length) {
      throw new Error(`${times.length} times and ${mixtures.length} mixtures make no sequence`);
    }
    if (times.some((time, key) => key && !(time > times[key - 1]))) {
      throw new Error('times rise from each mixture to the next');
    }
    this.times = Float64Array.from(times);
    this.mixtures = mixtures.map((mixture) => Float64Array.from(mixture));
  }

  /** The mixture at this moment, over the 8 classes. */
  at(t) {
    const { times, mixtures } = this;
    const last = times.length - 1;
    if (t <= times[0]) return Float32Array.from(mixtures[0]);
    if (t >= times[last]) return Float32Array.from(mixtures[last]);
    let low = 0; // times[low] <= t < times[high]
    let high = last;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (times[middle] <= t) low = middle;
      else high = middle;
    }
    const share = (t - times[low]) / (times[high] - times[low]);
    return Float32Array.from(mixtures[low], (from, c) => from + share * (mixtures[high][c] - from));
  }
}
