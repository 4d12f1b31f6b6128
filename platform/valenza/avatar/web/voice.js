// How far a voice opens the mouth.

const RATE = 50; // frames a second, as everywhere
const FLOOR = 1e-4; // RMS below which a recording is silent, of a full scale of 1
const RANGE = 32; // decibels under the recording's loud frames at which the mouth is shut
const RELEASE = 0.65; // share of the opening that is left a frame after the voice has stopped: lips are slower than sound

/** RMS of each 20 ms of the mean of the channels. */
function levels(audio) {
  const channels = Array.from({ length: audio.numberOfChannels }, (_, c) => audio.getChannelData(c));
  const count = Math.ceil((audio.length / audio.sampleRate) * RATE - 1e-9);
  return Float32Array.from({ length: count }, (_, frame) => {
    const from = Math.round((frame * audio.sampleRate) / RATE);
    const to = Math.min(audio.length, Math.round(((frame + 1) * audio.sampleRate) / RATE));
    let energy = 0;
    for (let n = from; n < to; n += 1) {
      let sample = 0;
      for (const channel of channels) sample += channel[n];
      energy += (sample / channels.length) ** 2;
    }
    return Math.sqrt(energy / Math.max(1, to - from));
  });
}

/**
 * Mouth opening over time, 0…1 at 50 frames a second, from the energy of an AudioBuffer.
 *
 * Loudness is measured against the recording's own 95th percentile, so that a quiet take moves the mouth as a loud one does.
 */
export function envelope(audioBuffer) {
  const rms = levels(audioBuffer);
  const loud = Float32Array.from(rms).sort()[Math.floor(0.95 * (rms.length - 1))];
  const values = new Float32Array(rms.length);
  if (!(loud > FLOOR)) return { rate: RATE, values };
  let before = 0;
  for (let frame = 0; frame < rms.length; frame += 1) {
    const decibels = 20 * Math.log10(Math.max(rms[frame], 1e-9) / loud);
    const opening = Math.min(1, Math.max(0, 1 + decibels / RANGE)) ** 1.6;
    before = Math.max(opening, before * RELEASE);
    values[frame] = before;
  }
  return { rate: RATE, values };
}

/** The opening at time t (seconds), on a straight line between the middles of frames; nothing outside the recording. */
export function openingAt(voice, t) {
  const at = t * voice.rate - 0.5;
  const low = Math.floor(at);
  const before = low >= 0 && low < voice.values.length ? voice.values[low] : 0;
  const after = low + 1 >= 0 && low + 1 < voice.values.length ? voice.values[low + 1] : 0;
  return before + (at - low) * (after - before);
}
