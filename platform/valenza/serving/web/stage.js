// The face: it wears the newest mixture, moves there softly, and opens its mouth with the voice.

import { Face } from './avatar/face.js';
import { Performer } from './avatar/performer.js';
import { loadRig } from './avatar/rig.js';
import * as words from './words.js';

const CALM = window.matchMedia('(prefers-reduced-motion: reduce)');
const RIG = new URL('./avatar/rig.json', import.meta.url);
const EASE = 0.25; // seconds in which most of the way to a new mixture is gone
const FLOOR = 1e-3; // RMS of a full scale of 1 below which nobody speaks
const RANGE = 32; // decibels under the loudest at which the mouth is shut, as in avatar/voice.js
const FADE = 0.998; // how the memory of the loudest fades with every 20 ms
const RELEASE = 0.65; // share of the opening that is left 20 ms after the voice has stopped

/** A performer whose mixture and mouth are what they are now; who wants less motion sees nothing else move. */
class Live extends Performer {
  constructor(face, rig) {
    super(face, rig, null, null, 5);
    this.neutral = Float32Array.from(rig.classes, (name) => (name === 'neutral' ? 1 : 0));
    this.sequence = { at: () => this.shown };
    this.reset();
  }

  reset() {
    this.shown = this.neutral.slice();
    this.goal = this.neutral;
    this.mouth = 0;
    this.loudest = FLOOR;
  }

  opening() {
    return this.mouth;
  }

  weights(clock) {
    return CALM.matches ? this.rig.weights(this.shown, this.mouth) : super.weights(clock);
  }

  sway(clock) {
    return CALM.matches ? [0, 0, 0] : super.sway(clock);
  }

  /** Each emotion's share of what is shown. */
  shares() {
    return this.rig.classes.map((name, place) => `${name} ${words.percent(this.shown[place])}`);
  }

  /** The emotion that is shown most. */
  first() {
    return this.rig.classes[this.shown.indexOf(Math.max(...this.shown))];
  }
}

export class Stage {
  #canvas;
  #live = null;
  #before = 0;

  constructor(canvas) {
    this.#canvas = canvas;
  }

  /** Draw the face; throws where this browser cannot. */
  async open() {
    const rig = await loadRig(RIG);
    const face = new Face(this.#canvas);
    this.#live = new Live(face, rig);
    new ResizeObserver(() => face.resize()).observe(this.#canvas);
    this.draw(0);
  }

  rest() {
    this.#live?.reset();
  }

  /** Go towards a mixture over these classes. */
  feel(mixture, classes) {
    if (!this.#live) return;
    const share = Object.fromEntries(classes.map((name, place) => [name, mixture[place]]));
    this.#live.goal = Float32Array.from(this.#live.rig.classes, (name) => share[name] ?? 0);
  }

  /** Move the mouth with these samples. */
  speak(samples, rate) {
    const live = this.#live;
    if (!live) return;
    const step = Math.round(rate / 50);
    for (let from = 0; from + step <= samples.length; from += step) {
      let energy = 0;
      for (let n = from; n < from + step; n += 1) energy += (samples[n] / 32768) ** 2;
      const rms = Math.sqrt(energy / step);
      live.loudest = Math.max(FLOOR, rms, live.loudest * FADE);
      const decibels = 20 * Math.log10(Math.max(rms, 1e-9) / live.loudest);
      const opening = rms > FLOOR ? Math.max(0, 1 + decibels / RANGE) ** 1.6 : 0;
      live.mouth = Math.max(opening, live.mouth * RELEASE);
    }
  }

  /** Nobody speaks any more. */
  hush() {
    if (this.#live) this.#live.mouth = 0;
  }

  /** Show the face at this moment of the page, in seconds. */
  draw(clock) {
    const live = this.#live;
    if (!live) return;
    const kept = Math.exp(-Math.min(1, clock - this.#before) / EASE);
    this.#before = clock;
    live.shown = live.shown.map((share, c) => kept * share + (1 - kept) * live.goal[c]);
    live.pose(clock);
    this.#canvas.dataset.mouth = live.mouth.toFixed(3);
    this.#canvas.dataset.mixture = live.shares().join(', ');
    const label = `A face that shows ${live.first()} most`;
    if (label !== this.#canvas.getAttribute('aria-label')) this.#canvas.setAttribute('aria-label', label);
  }
}
