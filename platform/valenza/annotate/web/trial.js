// One pair: watch, then answer. Resolves to what the person chose, and leaves sending to the page.

import { use } from './keys.js';
import { byId, say, show } from './views.js';
import { SAID, locked } from './words.js';

const SIDES = ['left', 'right'];
const CHOICES = document.querySelectorAll('#answers [data-choice]');
const BUTTONS = document.querySelectorAll('#answers button, .controls button, #undo');

export class Trial {
  #stage;
  #needed;
  #replays = 0;
  #starts = 0;
  #shown = 0;
  #finish = null;

  /** `needed` is the share of each face that must have been seen. */
  constructor(stage, needed) {
    this.#stage = stage;
    this.#needed = needed;
  }

  get open() {
    return SIDES.every((side) => this.#stage.watched[side].share >= this.#needed);
  }

  /**
   * Show a pair and wait for {choice, watched, replays, milliseconds} or {undo: true}.
   *
   * `seen` is what was seen of the pair before, where it comes back; `words` are said with it.
   */
  async run(pair, bytes, { seen, words, undoable }) {
    this.#replays = 0;
    this.#starts = 0;
    for (const button of CHOICES) delete button.dataset.sent;
    show('trial');
    await this.#stage.load(pair, bytes, seen, () => this.#draw());
    say('hint', words);
    this.#shown = performance.now();
    const answer = await new Promise((resolve) => {
      this.#finish = resolve;
      this.#listen(undoable);
    });
    byId('faces').dataset.ready = 'false';
    use({});
    for (const button of BUTTONS) button.onclick = null; // until the next pair
    this.#stage.stop();
    return answer;
  }

  #listen(undoable) {
    const solo = (side) => () => this.#start(side);
    const answer = (choice) => () => this.#answer(choice);
    const actions = {
      play: () => this.#toggle(),
      replay: () => this.#start(this.#stage.chosen),
      'solo-left': solo('left'),
      'solo-right': solo('right'),
      undo: () => (undoable ? this.#finish({ undo: true }) : say('hint', SAID.nothingToUndo)),
    };
    for (const [id, action] of Object.entries(actions)) byId(id).onclick = action;
    for (const button of CHOICES) button.onclick = answer(button.dataset.choice);
    use({
      space: actions.play,
      r: actions.replay,
      a: solo('left'),
      b: solo('right'),
      'shift+left': solo('left'),
      'shift+right': solo('right'),
      left: answer('left'),
      1: answer('left'),
      right: answer('right'),
      2: answer('right'),
      down: answer('tie'),
      0: answer('tie'),
      x: answer('cannot_tell'),
      u: actions.undo,
      '?': () => byId('help').showModal(),
    });
    byId('faces').dataset.ready = 'true';
  }

  /** Space: pause while something plays, go on after a pause, else play both from the start. */
  #toggle() {
    const stage = this.#stage;
    if (stage.playing !== 'none') stage.stop();
    else if (stage.time > 0 && !stage.ended) this.#sound(stage.chosen, stage.time);
    else this.#start('both');
  }

  #start(side) {
    if (this.#starts++) this.#replays += 1;
    this.#sound(side, 0);
  }

  async #sound(side, from) {
    say('hint', '');
    if (!(await this.#stage.play(side, from))) say('hint', SAID.noSound);
  }

  #answer(choice) {
    const watched = Object.fromEntries(SIDES.map((side) => [side, this.#stage.watched[side].share]));
    if (!this.open) {
      say('hint', locked(watched, this.#needed));
      byId('play').focus({ preventScroll: true }); // where the missing thing is done
      return;
    }
    for (const button of CHOICES) if (button.dataset.choice === choice) button.dataset.sent = 'true';
    const milliseconds = Math.round(performance.now() - this.#shown);
    this.#finish({ choice, watched, replays: this.#replays, milliseconds });
  }

  #draw() {
    const { playing, time, seconds, watched, chosen, ended } = this.#stage;
    const faces = byId('faces');
    faces.dataset.playing = playing;
    for (const side of SIDES) {
      const bar = byId(`seen-${side}`);
      const share = watched[side].share;
      const moves = playing === 'both' || playing === side;
      bar.style.setProperty('--seen', share);
      bar.style.setProperty('--goal', this.#needed);
      bar.style.setProperty('--head', moves ? time / seconds : 0);
      bar.dataset.moves = moves;
      bar.dataset.enough = share >= this.#needed;
      bar.setAttribute('aria-valuenow', Math.round(100 * share));
    }
    for (const button of CHOICES) button.setAttribute('aria-disabled', String(!this.open));
    byId('answers').dataset.locked = String(!this.open);
    byId('play').dataset.playing = playing !== 'none';
    const paused = playing === 'none' && time > 0 && !ended;
    byId('play-text').textContent = playing !== 'none' ? 'Pause' : paused ? goOn(chosen) : 'Play both';
    byId('replay').disabled = this.#starts === 0;
  }
}

const goOn = (chosen) => (chosen === 'both' ? 'Go on' : `Go on (${chosen})`);
