// Brows: two soft rolls that lie on the forehead and move with it.

import { mix } from './fields.js';
import { COLOURS } from './plan.js';
import { frontAt } from './skin.js';

const ALONG = 22;
const AROUND = 10;

/** A point of the brow's spine at `share` from its inner to its outer end. */
function spine(share) {
  const x = mix(0.115, 0.53, share);
  const y = 0.425 + 0.055 * Math.sin(Math.PI * Math.min(1, share * 0.78 + 0.05)) - 0.05 * share ** 2;
  return [x, y];
}

/** The brow of one side at rest, as vertices and triangles. */
function brow(side, first) {
  const vertices = [];
  const triangles = [];
  for (let k = 0; k <= ALONG; k += 1) {
    const share = k / ALONG;
    const [x, y] = spine(share);
    const thick = Math.sqrt(Math.max(0, 1 - (2 * share - 1) ** 6)) * mix(0.05, 0.026, share);
    for (let turn = 0; turn < AROUND; turn += 1) {
      const angle = (2 * Math.PI * turn) / AROUND;
      const up = thick * Math.sin(angle);
      vertices.push({
        x: side * (x - 0.12 * up), y: y + up, z: frontAt(x, y) + 0.012 + 0.7 * thick * Math.cos(angle),
        sine: 1, distance: 0.8, seamY: y, inside: 0, colour: COLOURS.brow,
      });
    }
  }
  for (let k = 0; k < ALONG; k += 1) {
    for (let turn = 0; turn < AROUND; turn += 1) {
      const [a, b] = [first + k * AROUND + turn, first + k * AROUND + ((turn + 1) % AROUND)];
      if (side > 0) triangles.push(a, a + AROUND, b, b, a + AROUND, b + AROUND);
      else triangles.push(a, b, a + AROUND, b, b + AROUND, a + AROUND);
    }
  }
  return { vertices, triangles };
}

/** Both brows at rest. */
export function brows() {
  const left = brow(1, 0);
  const right = brow(-1, left.vertices.length);
  return { vertices: [...left.vertices, ...right.vertices], triangles: [...left.triangles, ...right.triangles] };
}
