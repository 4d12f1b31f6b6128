// Another head for both faces, from a file on this computer. Nothing is sent anywhere.

import { byId, say } from './views.js';
import { SAID } from './words.js';

export function openSettings(stage) {
  byId('settings-open').onclick = () => byId('settings').showModal();
  byId('glb').onchange = async ({ target }) => {
    const [file] = target.files;
    if (!file) return;
    say('settings-hint', SAID.reading);
    try {
      await stage.wear(await file.arrayBuffer());
      say('settings-hint', SAID.worn);
    } catch {
      say('settings-hint', SAID.notWorn);
    }
    target.value = ''; // so that the same file can be chosen again
  };
}
