// A still face with one feeling, beside text. Where it cannot be drawn, the text stands alone.

import { byId } from './views.js';

/** Draw on a canvas that is shown, by the name of an emotion and its share of the mixture; the rest is neutral. */
export async function portrait(id, feeling, share) {
  const canvas = byId(id);
  try {
    const [{ Face }, { loadRig }] = await Promise.all([import('./avatar/face.js'), import('./avatar/rig.js')]);
    const rig = await loadRig(new URL('./avatar/rig.json', import.meta.url));
    const face = new Face(canvas);
    face.set(rig.weights(rig.classes.map((name) => (name === feeling ? share : name === 'neutral' ? 1 - share : 0))));
    face.render();
  } catch {
    canvas.hidden = true;
  }
}
