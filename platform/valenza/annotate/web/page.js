// From the invitation link to the thank-you: asks the server what is due, shows it, and brings the answers back.

import { Line, Refused, invitation, uuid } from './api.js';
import { Clock } from './clock.js';
import { use } from './keys.js';
import { Outbox } from './outbox.js';
import { portrait } from './portrait.js';
import { openSettings } from './settings.js';
import { Trial } from './trial.js';
import { byId, message, notice, say, show } from './views.js';
import { consent, soundCheck } from './welcome.js';
import { MESSAGES, SAID, finished, lost, pairOf, resting, share, timeLeft, welcomeBack } from './words.js';

const REST_AFTER = 20; // pairs
const DAY = 86_400_000; // milliseconds; a page left open for longer says no more than that

class Page {
  #line = null;
  #outbox = null;
  #session = null;
  #clock = new Clock();
  #stage = null;
  #trial = null;
  #seen = new Map(); // what was seen of each pair: an undo brings one back
  #words = ''; // what is said with the next pair

  async run() {
    const token = invitation();
    if (!token) return this.#end(MESSAGES.link);
    this.#line = new Line(token, (cause) => this.#away(cause));
    byId('notice-retry').onclick = () => this.#line.tryNow();
    byId('help-open').onclick = () => byId('help').showModal();
    for (;;) {
      try {
        await this.#enter();
        await this.#work();
      } catch (error) {
        await this.#recover(error);
      }
    }
  }

  /** Learn where the person stands, and see to their consent and to the drawing of faces. */
  async #enter() {
    this.#session = await this.#line.ask('api/session');
    this.#outbox ??= new Outbox(this.#line, this.#session.annotator);
    byId('study').textContent = this.#session.title;
    byId('help-share').textContent = share(this.#session.watch_share);
    if (!this.#session.consented) {
      await consent(this.#session);
      await soundCheck(this.#clock);
      this.#session = await this.#line.ask('api/consent', { sound: true });
    } else if (this.#session.done && !this.#words) {
      this.#words = welcomeBack(this.#session.done, this.#session.total);
    }
    if (!this.#stage) {
      show('loading');
      const { Stage } = await import('./stage.js');
      this.#stage = new Stage({ left: byId('face-left'), right: byId('face-right') }, this.#clock);
      await this.#stage.open(() => say('hint', SAID.pictureLost));
      openSettings(this.#stage);
      this.#trial = new Trial(this.#stage, this.#session.watch_share);
    }
  }

  /** Pair after pair, and the thank-you between the last one and an undo. */
  async #work() {
    if (this.#outbox.size) {
      await this.#outbox.flush();
      this.#words = SAID.delivered;
      this.#session = await this.#line.ask('api/session');
    }
    for (;;) {
      const pair = await this.#line.ask('api/next');
      if (pair.finished) {
        await this.#thanks();
        await this.#undo();
      } else {
        await this.#judge(pair);
      }
    }
  }

  async #judge(pair) {
    const bytes = await this.#line.bytes(`api/audio/${pair.audio}`);
    this.#progress(pair.number);
    const words = this.#words;
    this.#words = '';
    const { undoable } = this.#session;
    const answer = await this.#trial.run(pair, bytes, { seen: this.#seen.get(pair.pair), words, undoable });
    this.#seen.set(pair.pair, this.#stage.watched);
    say('hint', SAID.sending);
    if (answer.undo) return this.#undo();
    const { choice, watched, replays } = answer;
    const milliseconds = Math.min(answer.milliseconds, DAY);
    await this.#outbox.send('api/votes', { id: uuid(), pair: pair.pair, choice, watched, replays, milliseconds });
    this.#session = await this.#line.ask('api/session');
    const { done, total } = this.#session;
    if (done % REST_AFTER === 0 && done < total) await this.#rest();
  }

  async #undo() {
    const { undone } = await this.#outbox.send('api/undo', { id: uuid() });
    this.#words = undone ? SAID.undone : SAID.nothingToUndo;
    this.#session = await this.#line.ask('api/session');
  }

  #progress(number) {
    const { done, total, seconds_left } = this.#session;
    byId('progress').max = Math.max(1, total);
    byId('progress').value = done;
    const left = timeLeft(seconds_left);
    byId('progress-text').textContent = left ? `${pairOf(number, total)} · ${left}` : pairOf(number, total);
    byId('undo').setAttribute('aria-disabled', String(!this.#session.undoable));
  }

  async #rest() {
    byId('rest-count').textContent = resting(this.#session.done, this.#session.total);
    show('rest');
    await new Promise((resolve) => {
      byId('rest-go').onclick = resolve;
      use({ space: resolve, enter: resolve });
    });
    use({});
  }

  /** The end; returns when the last answer is to be taken back. */
  async #thanks() {
    byId('finished-text').textContent = finished(this.#session.done);
    byId('finished-undo').hidden = !this.#session.undoable;
    show('finished');
    portrait('portrait-thanks', 'happiness', 0.8);
    await new Promise((resolve) => {
      byId('finished-undo').onclick = resolve;
      use({ u: resolve });
    });
    use({});
  }

  #away(cause) {
    if (cause) {
      say('hint', '');
      notice(lost(cause, Boolean(this.#outbox?.size)), { retry: true });
    } else notice(SAID.back, { seconds: 4 });
  }

  /** What the server refused, in words; whatever is not known to heal ends in a message. */
  async #recover(error) {
    use({});
    if (!(error instanceof Refused)) {
      console.error(error);
      return this.#end(MESSAGES[error.kind] ?? MESSAGES.trouble);
    }
    if (error.status === 401) return this.#end(MESSAGES.refused);
    if (error.status === 409) this.#words = SAID.elsewhere;
    else if (error.status === 422) this.#words = SAID.mismatch;
    else if (error.status !== 403 || (await this.#line.ask('api/session')).consented)
      return this.#end(MESSAGES.trouble);
  }

  /** Say something from which only a new start leads on. */
  async #end(words) {
    await message(words);
    location.reload();
    return new Promise(() => {});
  }
}

window.addEventListener('hashchange', () => location.reload());
new Page().run();
