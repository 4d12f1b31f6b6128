// The page: sound goes to the server, and what comes back is drawn.

import { Line } from './line.js';
import { microphone, NoSound, recording } from './sources.js';
import { Stage } from './stage.js';
import { Timeline } from './timeline.js';
import * as words from './words.js';

const LAST = 30_000; // milliseconds without a word from the server after which what is left is given up

const byId = (id) => document.getElementById(id);
const stage = new Stage(byId('face'));
const timeline = new Timeline(byId('timeline'));
let model = null;
let session = null;
let displaced = false; // whether the keyboard's place was on a button that cannot be pressed now
let heard = 0; // seconds sent in the newest session

/** What the page is doing: loading, rest, connecting, live, ending or failed; and the words for it. */
function show(state, text) {
  document.body.dataset.state = state;
  byId('says').textContent = text;
  const busy = ['loading', 'connecting', 'live', 'ending'].includes(state);
  const held = document.activeElement;
  byId('microphone').disabled = busy;
  byId('file').disabled = busy;
  byId('choose').classList.toggle('off', busy);
  byId('stop').disabled = !['connecting', 'live'].includes(state);
  displaced ||= held?.disabled ?? false;
  const next = byId(busy ? 'stop' : 'microphone');
  if (displaced && !next.disabled) {
    next.focus();
    displaced = false;
  }
}

/** A row of the legend for each emotion that the model can tell. */
function legend() {
  byId('legend').replaceChildren(...model.emotions.map((name) => {
    const row = document.createElement('li');
    row.dataset.emotion = name;
    row.innerHTML = '<svg width="14" height="14" aria-hidden="true"><rect width="14" height="14" rx="3"></rect></svg>'
      + '<span></span><div class="bar"><i></i></div><span class="per">0 %</span>';
    row.querySelector('span').textContent = name;
    row.querySelector('rect').setAttribute('fill', model.colours[name]);
    row.querySelector('i').style.background = model.colours[name];
    return row;
  }));
}

function tell(mixture) {
  let best = 0;
  mixture.forEach((share, place) => { if (share > mixture[best]) best = place; });
  byId('label').textContent = model.classes[best];
  byId('share').textContent = words.percent(mixture[best]);
  for (const row of byId('legend').children) {
    const share = mixture[model.classes.indexOf(row.dataset.emotion)];
    row.querySelector('i').style.transform = `scaleX(${share})`;
    row.querySelector('.per').textContent = words.percent(share);
    row.classList.toggle('first', row.dataset.emotion === model.classes[best]);
  }
  byId('timeline').setAttribute('aria-label', `Now ${model.classes[best]}, ${words.percent(mixture[best])}.`);
}

/** Nothing is told yet: what an earlier stream left goes. */
function forget() {
  legend();
  byId('label').textContent = '—';
  byId('share').textContent = '';
  byId('timeline').setAttribute('aria-label', 'No emotions have been heard yet.');
}

/** One stream, from the choice of a source to its end. */
class Session {
  #line = null;
  #flow = null;
  #late = 0;
  #over = false;

  async run(what, open) {
    heard = 0;
    timeline.clear(model.classes.map((name) => model.colours[name]));
    stage.rest();
    forget();
    try {
      this.#flow = await open();
      if (this.#over) return await this.#flow.stop();
      show('connecting', words.CONNECTING);
      this.#line = new Line((message) => this.#said(message), (reason) => this.#closed(reason));
      const { latency } = await this.#line.ready;
      if (this.#over) return undefined;
      this.#line.settings({ rate: this.#flow.rate });
      await this.#flow.begin((samples) => this.#sound(samples));
      if (this.#over) return undefined;
      show('live', words.live(what, latency));
    } catch (problem) {
      this.end('failed', problem instanceof NoSound ? problem.message : words.lost(problem.message));
    }
    return undefined;
  }

  #sound(samples) {
    if (this.#over || document.body.dataset.state === 'ending') return;
    heard += samples.length / this.#flow.rate;
    this.#line.audio(samples);
    stage.speak(samples, this.#flow.rate);
  }

  #said(message) {
    if (this.#over) return;
    if (this.#late) this.#wait();
    if (message.type === 'moments') {
      for (const moment of message.moments) timeline.add(moment);
      const { mixture } = message.moments.at(-1);
      stage.feel(mixture, model.classes);
      tell(mixture);
    } else if (message.type === 'end') this.end('rest', words.ended(message, model.classes));
    else if (message.type === 'error') this.end('failed', words.lost(message.detail));
  }

  #closed(reason) {
    if (reason) this.end('failed', words.lost(reason));
  }

  #wait() {
    clearTimeout(this.#late);
    this.#late = setTimeout(() => this.end('failed', words.lost(words.SILENT)), LAST);
  }

  /** No more sound; what is left is still told. */
  finish() {
    if (document.body.dataset.state !== 'live') return this.end('rest', words.REST);
    show('ending', words.ENDING);
    this.#flow.stop();
    stage.hush();
    this.#line.finish();
    this.#wait();
    return undefined;
  }

  end(state, text) {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#late);
    this.#flow?.stop();
    this.#line?.close();
    stage.hush();
    session = null;
    show(state, text);
  }
}

function begin(what, waiting, open) {
  session = new Session();
  show('connecting', waiting);
  session.run(what, open);
}

byId('microphone').addEventListener('click', () => begin('the microphone', words.ASKING, microphone));
byId('file').addEventListener('change', ({ target }) => {
  const [file] = target.files;
  target.value = ''; // the same file may be chosen again
  if (file) begin(file.name, `Reading ${file.name}.`, () => recording(file, () => session?.finish()));
});
byId('stop').addEventListener('click', () => session?.finish());

const picture = (milliseconds) => {
  timeline.draw(heard);
  stage.draw(milliseconds / 1000);
  byId('clock').textContent = `${heard.toFixed(1)} s`;
  requestAnimationFrame(picture);
};

try {
  const answer = await fetch('/model');
  if (!answer.ok) throw new Error(`the server answers ${answer.status}`);
  model = await answer.json();
  byId('model').textContent = model.name;
  byId('details').append(...Object.entries(model.details).flatMap(([key, value]) => [
    Object.assign(document.createElement('dt'), { textContent: key.replaceAll('_', ' ') }),
    Object.assign(document.createElement('dd'), { textContent: value }),
  ]));
  legend();
  timeline.clear([]);
  await stage.open().catch(() => {
    byId('face').hidden = true;
    byId('faceless').hidden = false;
  });
  show('rest', words.REST);
  requestAnimationFrame(picture);
} catch (problem) {
  show('failed', words.lost(problem.message));
}
