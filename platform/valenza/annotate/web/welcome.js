// Before the first pair: what this is and what is stored, then whether the sound is heard.

import { use } from './keys.js';
import { portrait } from './portrait.js';
import { byId, message, pressed, say, show } from './views.js';
import { MESSAGES, SAID } from './words.js';

/** Show the study and the consent text until the person agrees. */
export async function consent(session) {
  byId('consent-study').textContent = session.title;
  byId('consent-text').textContent = session.consent;
  for (;;) {
    show('consent');
    portrait('portrait-left', 'happiness', 0.8);
    portrait('portrait-right', 'sadness', 0.8);
    if ((await pressed('consent-agree', 'consent-decline')) === 'consent-agree') return;
    await message(MESSAGES.declined);
  }
}

/** Play a sound until the person hears it. */
export async function soundCheck(clock) {
  let heard = false;
  const open = (yes) => {
    heard = yes;
    for (const id of ['sound-yes', 'sound-no']) byId(id).setAttribute('aria-disabled', String(!yes));
  };
  const play = async () => {
    say('sound-hint', '');
    try {
      const seconds = await clock.chime();
      byId('sound-play').dataset.playing = 'true';
      setTimeout(() => delete byId('sound-play').dataset.playing, 1000 * seconds);
      open(true);
    } catch {
      say('sound-hint', SAID.noSound);
    }
  };
  open(false);
  show('sound');
  await new Promise((resolve) => {
    const yes = () => (heard ? resolve() : say('sound-hint', SAID.playFirst));
    const no = () => (byId('sound-help').hidden = false);
    byId('sound-play').onclick = play;
    byId('sound-yes').onclick = yes;
    byId('sound-no').onclick = no;
    use({ space: play, y: yes, n: no });
  });
  use({});
}
