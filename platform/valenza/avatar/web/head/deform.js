// A surface that moves by weighted displacements.

import { BufferAttribute, BufferGeometry } from '../three/three.min.js';
import { INDEX } from '../rig.js';
import { SHAPES } from './shapes.js';

const NEGLIGIBLE = 2e-4;

/** What each shape does to these vertices, kept only where it does something. */
function targets(vertices, move) {
  return Object.entries(SHAPES).map(([name, field]) => {
    const [indices, moves] = [[], []];
    vertices.forEach((vertex, index) => {
      const by = move(vertex, field);
      if (Math.hypot(...by) < NEGLIGIBLE) return;
      indices.push(index);
      moves.push(...by);
    });
    return { weight: INDEX[name], indices: Uint32Array.from(indices), moves: Float32Array.from(moves) };
  });
}

/** The rest pose and the displacements of a surface; faces of one page share it. */
export function plan(vertices, triangles, move = (vertex, field) => field(vertex)) {
  return {
    rest: Float32Array.from(vertices.flatMap(({ x, y, z }) => [x, y, z])),
    colours: Float32Array.from(vertices.flatMap(({ colour }) => colour)),
    triangles,
    targets: targets(vertices, move),
  };
}

/** One face's copy of a surface. */
export class Surface {
  constructor(shared) {
    this.shared = shared;
    this.geometry = new BufferGeometry();
    this.geometry.setIndex(shared.triangles);
    this.geometry.setAttribute('position', new BufferAttribute(shared.rest.slice(), 3));
    this.geometry.setAttribute('color', new BufferAttribute(shared.colours, 3));
    this.geometry.computeVertexNormals();
  }

  /** Move the vertices to where the weights put them; `finish` may correct them before normals are computed. */
  set(weights, finish = () => {}) {
    const { position } = this.geometry.attributes;
    const places = position.array;
    places.set(this.shared.rest);
    for (const { weight, indices, moves } of this.shared.targets) {
      const by = weights[weight];
      if (by === 0) continue;
      for (let k = 0; k < indices.length; k += 1) {
        const at = 3 * indices[k];
        places[at] += by * moves[3 * k];
        places[at + 1] += by * moves[3 * k + 1];
        places[at + 2] += by * moves[3 * k + 2];
      }
    }
    finish(places);
    position.needsUpdate = true;
    this.geometry.computeVertexNormals();
  }

  dispose() {
    this.geometry.dispose();
  }
}
