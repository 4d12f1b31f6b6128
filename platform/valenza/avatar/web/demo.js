// The face by hand: emotions and their mixtures, a recording, single weights, another head.

import { Face } from './face.js';
import { Performer } from './performer.js';
import { ARKIT, loadRig } from './rig.js';
import { Sequence } from './sequence.js';
import { envelope } from './voice.js';

const find = (id) => document.getElementById(id);
const say = (text) => { find('status').textContent = text; };
// From a checkout the rig lies a folder above the page; a server of the annotation puts it beside the page.
const RIG = window.location.pathname.includes('/web/') ? '../rig.json' : 'rig.json';

/** A labelled slider from 0 to 1. */
function slider(parent, name, changed) {
  const label = document.createElement('label');
  const range = Object.assign(document.createElement('input'), { type: 'range', min: 0, max: 1, step: 0.01, value: 0 });
  const shown = document.createElement('output');
  const show = () => { shown.textContent = Number(range.value).toFixed(2); };
  range.addEventListener('input', () => { show(); changed(); });
  label.append(name, range, shown);
  parent.append(label);
  show();
  return { get value() { return Number(range.value); }, set value(to) { range.value = to; show(); } };
}

class Demo {
  constructor(face, rig) {
    Object.assign(this, { face, rig, voice: null });
    const emotions = rig.classes.filter((name) => name !== 'neutral' && name !== 'other');
    this.shares = Object.fromEntries(emotions.map((name) => [name, slider(find('mixture'), name, () => this.press())]));
    this.opening = slider(find('voice'), 'mouth', () => {});
    this.extra = ARKIT.map((name) => slider(find('weights'), name, () => {}));
    this.buttons = ['neutral', ...emotions].map((name) => this.button(name));
    find('audio').addEventListener('change', (event) => this.hear(event.target.files[0]));
    find('glb').addEventListener('change', (event) => this.wear(event.target.files[0]));
    this.press();
  }

  button(name) {
    const made = Object.assign(document.createElement('button'), { type: 'button', textContent: name });
    made.addEventListener('click', () => this.choose(name));
    find('emotions').append(made);
    return made;
  }

  /** Show one emotion alone. */
  choose(name) {
    for (const [other, share] of Object.entries(this.shares)) share.value = other === name ? 1 : 0;
    this.press();
  }

  /** Mark the button of what is shown, if it is one emotion. */
  press() {
    const shown = Object.entries(this.shares).filter(([, share]) => share.value > 0).map(([name]) => name);
    const alone = shown.length ? shown.length === 1 && this.shares[shown[0]].value === 1 && shown[0] : 'neutral';
    for (const button of this.buttons) button.setAttribute('aria-pressed', String(button.textContent === alone));
  }

  mixture() {
    const sum = Object.values(this.shares).reduce((total, share) => total + share.value, 0);
    return this.rig.classes.map((name) => {
      if (name === 'neutral') return Math.max(0, 1 - sum);
      return name in this.shares ? this.shares[name].value / Math.max(1, sum) : 0;
    });
  }

  async hear(file) {
    if (!file) return;
    const player = find('player');
    try {
      const context = new AudioContext();
      this.voice = envelope(await context.decodeAudioData(await file.arrayBuffer()));
      await context.close();
      player.src = URL.createObjectURL(file);
      player.hidden = false;
      say(`${file.name}: ${(this.voice.values.length / this.voice.rate).toFixed(1)} s`);
    } catch (problem) {
      say(`${file.name} cannot be heard: ${problem.message}`);
    }
  }

  async wear(file) {
    if (!file) return;
    try {
      const names = await this.face.loadGlb(await file.arrayBuffer());
      say(`${file.name}: ${names.length} of ARKit's 52 shapes`);
    } catch (problem) {
      say(`${file.name} cannot be shown: ${problem.message}`);
    }
  }

  /** Show the face now: `clock` is seconds since the page was opened. */
  show(clock) {
    const player = find('player');
    const playing = this.voice && !player.paused;
    const performer = new Performer(
      this.face, this.rig, new Sequence([0], [this.mixture()]), playing ? this.voice : null, 1,
    );
    const t = playing ? player.currentTime : clock;
    const idle = find('idle').checked;
    const weights = idle ? performer.weights(t) : this.rig.weights(this.mixture(), playing ? performer.opening(t) : 0);
    this.extra.forEach(({ value }, k) => {
      weights[k] = Math.min(1, weights[k] + value + this.opening.value * this.rig.mouth[k]);
    });
    this.face.set(weights);
    this.face.turn(...(idle ? performer.sway(t) : [0, 0, 0]));
    this.face.render();
  }
}

const face = new Face(find('face'));
const demo = new Demo(face, await loadRig(RIG));
new ResizeObserver(() => face.resize()).observe(face.canvas);
say('');
const frame = (milliseconds) => {
  demo.show(milliseconds / 1000);
  requestAnimationFrame(frame);
};
requestAnimationFrame(frame);
