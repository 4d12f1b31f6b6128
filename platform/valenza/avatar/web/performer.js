// A face that plays a sequence: everything it does is a function of the audio's time, so two performers on one clock are in step.

import { INDEX } from './rig.js';
import { openingAt } from './voice.js';

/** A number in [0, 1) from whole numbers, the same on every machine (an integer hash with good avalanche). */
export function chance(...keys) {
  let hash = 0x9e3779b9;
  for (const key of keys) {
    hash = Math.imul(hash ^ (key | 0), 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
    hash ^= hash >>> 16;
  }
  return (hash >>> 0) / 2 ** 32;
}

const smooth = (share) => share * share * (3 - 2 * share);
const BLINK = 1;
const GAZE = 2;
const SWAY = 3;

/** How far the lids are shut at time t, 0…1: one blink in each stretch of `every` seconds, at a moment drawn by hash. */
export function blinkAt({ every, closing, closed, opening }, seed, t) {
  const whole = closing + closed + opening;
  const stretch = Math.floor(t / every);
  const begin = (stretch + chance(seed, BLINK, stretch) * (1 - whole / every)) * every;
  const since = t - begin;
  if (since < 0 || since > whole) return 0;
  if (since < closing) return smooth(since / closing);
  if (since < closing + closed) return 1;
  return smooth((whole - since) / opening);
}

/** Where the eyes look at time t: [left, up], each within ±reach; they rest, then jump. */
export function gazeAt({ hold, move, reach }, seed, t) {
  const stretch = Math.floor(t / hold);
  const rest = (index, axis) => (chance(seed, GAZE + 10 * axis, index) * 2 - 1) * reach * (axis ? 0.5 : 1);
  const share = smooth(Math.min(1, (t - stretch * hold) / move));
  return [0, 1].map((axis) => rest(stretch - 1, axis) + share * (rest(stretch, axis) - rest(stretch - 1, axis)));
}

/** Small turns of the head at time t, in radians: [yaw, pitch, roll]. */
export function swayAt({ yaw, pitch, roll, period }, seed, t) {
  return [yaw, pitch, roll].map((reach, axis) => {
    const phase = chance(seed, SWAY, axis);
    const slow = Math.sin(2 * Math.PI * (t / period / (1 + 0.37 * axis) + phase));
    const slower = Math.sin(2 * Math.PI * (t / period / (2.3 + 0.41 * axis) + 3 * phase));
    return reach * (0.6 * slow + 0.4 * slower);
  });
}

/** Moves one face by one sequence and one voice. */
export class Performer {
  /** `voice` is what envelope() answers, or null for a silent face; `seed` a whole number: the same seed blinks alike. */
  constructor(face, rig, sequence, voice = null, seed = 0) {
    Object.assign(this, { face, rig, sequence, voice, seed });
  }

  /** How far the voice opens the mouth at audio time t. */
  opening(t) {
    return this.voice ? openingAt(this.voice, t) : 0;
  }

  /** How the head is turned at audio time t: [yaw, pitch, roll] in radians. */
  sway(t) {
    return swayAt(this.rig.sway, this.seed, t);
  }

  /** The 52 weights at audio time t. */
  weights(t) {
    const { rig, seed } = this;
    const weights = rig.weights(this.sequence.at(t), this.opening(t));
    const add = (index, weight) => {
      weights[index] = Math.min(1, weights[index] + weight);
    };
    const shut = blinkAt(rig.blink, seed, t);
    rig.blink.weights.forEach((weight, index) => add(index, weight * shut));
    const [left, up] = gazeAt(rig.gaze, seed, t);
    add(left > 0 ? INDEX.eyeLookOutLeft : INDEX.eyeLookInLeft, Math.abs(left));
    add(left > 0 ? INDEX.eyeLookInRight : INDEX.eyeLookOutRight, Math.abs(left));
    for (const side of ['Left', 'Right']) add(INDEX[`eyeLook${up > 0 ? 'Up' : 'Down'}${side}`], Math.abs(up));
    return weights;
  }

  /** Show the face at audio time t. */
  pose(t) {
    this.face.set(this.weights(t));
    this.face.turn(...this.sway(t));
    this.face.render();
  }
}
