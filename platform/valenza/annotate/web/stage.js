// Two faces and one voice: both are drawn at the time of the sound that is heard.

import { Face } from './avatar/face.js';
import { Performer } from './avatar/performer.js';
import { loadRig } from './avatar/rig.js';
import { Sequence } from './avatar/sequence.js';
import { envelope } from './avatar/voice.js';
import { Clock } from './clock.js';
import { Watched } from './watched.js';

const SIDES = ['left', 'right'];
const RIG = new URL('./avatar/rig.json', import.meta.url);

/** The same whole number from the same text: both faces of a pair blink alike. */
function seedOf(text) {
  let hash = 2166136261;
  for (const letter of text) hash = Math.imul(hash ^ letter.codePointAt(0), 16777619);
  return hash >>> 0;
}

/** What this browser cannot do: draw a "picture" or play "audio". */
export class Unable extends Error {
  constructor(kind, cause) {
    super(`no ${kind}`, { cause });
    this.kind = kind;
  }
}

export class Stage {
  #clock;
  #rig;
  #faces = {};
  #canvases;
  #performers = null;
  #buffer = null;
  #order = 0; // counts orders to play: only the newest may start or end anything
  #changed = () => {};

  /** "none" while everything holds still, else "both", "left" or "right". */
  playing = 'none';
  /** Where the sound is, in seconds, and which side or sides were played last. */
  time = 0;
  chosen = 'both';
  watched = null;

  constructor(canvases, clock) {
    this.#canvases = canvases;
    this.#clock = clock;
  }

  /** Draw our own head on both sides; throws `Unable` where there is no WebGL 2. `lost` is called when a picture breaks. */
  async open(lost) {
    this.#rig = await loadRig(RIG);
    for (const side of SIDES) {
      const canvas = this.#canvases[side];
      try {
        this.#faces[side] = new Face(canvas);
      } catch (error) {
        throw new Unable('picture', error);
      }
      canvas.addEventListener('webglcontextlost', lost);
      new ResizeObserver(() => this.#refit(side)).observe(canvas);
    }
    // What is not on the screen is not seen.
    document.addEventListener('visibilitychange', () => document.hidden && this.playing !== 'none' && this.stop());
  }

  /** Use the head in a GLB file on both sides; throws where it is not one. */
  async wear(bytes) {
    for (const side of SIDES) await this.#faces[side].loadGlb(bytes.slice(0));
    this.#pose(SIDES);
  }

  get seconds() {
    return this.#buffer.duration;
  }

  get ended() {
    return this.time >= this.seconds;
  }

  /** Put a pair on the stage; `changed` is called with every picture and every change. Throws `Unable` on audio that cannot be read. */
  async load(pair, bytes, watched, changed) {
    this.stop();
    try {
      this.#buffer = await Clock.decode(bytes);
    } catch (error) {
      throw new Unable('audio', error);
    }
    const voice = envelope(this.#buffer);
    const performer = (side) => {
      const sequence = new Sequence(pair[side].times, pair[side].mixtures);
      return new Performer(this.#faces[side], this.#rig, sequence, voice, seedOf(pair.pair));
    };
    this.#performers = { left: performer('left'), right: performer('right') };
    this.watched = watched ?? { left: new Watched(this.seconds), right: new Watched(this.seconds) };
    this.#changed = changed;
    this.time = 0;
    this.chosen = 'both';
    this.#pose(SIDES);
    changed();
  }

  /** Play one side or both from a time; returns whether the sound started. */
  async play(chosen, from) {
    const order = ++this.#order;
    this.chosen = chosen;
    try {
      await this.#clock.play(this.#buffer, from);
    } catch {
      if (order === this.#order) this.stop();
      return false;
    }
    if (order !== this.#order) return true;
    this.time = from;
    this.playing = chosen;
    requestAnimationFrame(() => this.#picture(order));
    this.#changed();
    return true;
  }

  /** Hold still, wherever the sound is. */
  stop() {
    this.#order += 1;
    this.#clock.stop();
    this.playing = 'none';
    this.#changed();
  }

  #picture(order) {
    if (order !== this.#order) return;
    const now = Math.min(this.#clock.heard, this.seconds);
    const moving = this.playing === 'both' ? SIDES : [this.playing];
    for (const side of moving) this.watched[side].saw(this.time, now);
    this.time = now;
    this.#pose(moving);
    if (this.ended) this.stop();
    else {
      requestAnimationFrame(() => this.#picture(order));
      this.#changed();
    }
  }

  #pose(sides) {
    for (const side of sides) {
      this.#performers?.[side].pose(this.time);
      this.#canvases[side].dataset.pose = this.time.toFixed(4); // which moment is on the screen
    }
  }

  #refit(side) {
    this.#faces[side].resize();
    this.#performers?.[side].pose(Number(this.#canvases[side].dataset.pose));
  }
}
