// What does not move by itself: hair, ears, neck and shirt.

import { BufferAttribute, BufferGeometry, Group, LatheGeometry, Mesh, SphereGeometry, Vector2 } from '../three/three.min.js';
import { clay } from './clay.js';
import { smoothstep } from './fields.js';
import { COLOURS, hairline } from './plan.js';

const AROUND = 72;
const DOWN = 16;

/** A cap of hair that follows the skull, combed from a parting. */
function hair() {
  const places = [];
  const triangles = [];
  for (let row = 0; row <= DOWN; row += 1) {
    for (let turn = 0; turn < AROUND; turn += 1) {
      const bearing = (2 * Math.PI * turn) / AROUND - Math.PI;
      const share = row / DOWN;
      const angle = share * hairline(bearing);
      const full = 0.1 + 0.055 * Math.exp(-((bearing / 1.1) ** 2)) * smoothstep(0.25, 0.8, share);
      const thick = full * Math.sqrt(Math.max(0, 1 - share ** 7)) - 0.03 * share ** 8;
      const swept = bearing + 0.5 * share; // strands run aside
      const strand = (0.016 * Math.sin(13 * swept) + 0.009 * Math.sin(29 * swept + 1)) * smoothstep(0.1, 0.5, share) * (1 - share ** 9);
      const grow = 1 + thick + strand;
      const [x, z] = [Math.sin(angle) * Math.sin(bearing), Math.sin(angle) * Math.cos(bearing)];
      places.push(x * 0.79 * grow, Math.cos(angle) * grow, z * 0.87 * grow);
    }
  }
  for (let row = 0; row < DOWN; row += 1) {
    for (let turn = 0; turn < AROUND; turn += 1) {
      const [a, b] = [row * AROUND + turn, row * AROUND + ((turn + 1) % AROUND)];
      triangles.push(a, a + AROUND, b, b, a + AROUND, b + AROUND);
    }
  }
  const geometry = new BufferGeometry();
  geometry.setIndex(triangles);
  geometry.setAttribute('position', new BufferAttribute(Float32Array.from(places), 3));
  geometry.computeVertexNormals();
  return geometry;
}

/** Hair, ears, neck and shirt in one group; the hair and ears belong to the head, the rest stays when it turns. */
export class Bust {
  constructor() {
    this.onHead = new Group();
    this.below = new Group();
    const skin = clay({ colour: COLOURS.skin });
    this.onHead.add(new Mesh(hair(), clay({ colour: COLOURS.hair, shine: 0.07 })));
    for (const side of [-1, 1]) {
      const ear = new Mesh(new SphereGeometry(1, 20, 14), skin);
      ear.scale.set(0.07, 0.2, 0.13);
      ear.position.set(side * 0.79, 0.0, -0.06);
      ear.rotation.set(0.1, side * -0.45, side * -0.12);
      this.onHead.add(ear);
    }
    const neck = [[0.2, -0.6], [0.31, -0.72], [0.32, -0.95], [0.33, -1.15], [0.36, -1.4]].map(([x, y]) => new Vector2(x, y));
    const shirt = [[0.3, -1.19], [0.37, -1.155], [0.415, -1.18], [0.44, -1.24], [0.68, -1.33], [0.98, -1.5], [1.12, -1.8], [1.15, -2.4]]
      .map(([x, y]) => new Vector2(x, y));
    const throat = new Mesh(new LatheGeometry(neck.reverse(), 32), clay({ colour: COLOURS.skin }));
    const cloth = new Mesh(new LatheGeometry(shirt.reverse(), 40), clay({ colour: COLOURS.shirt, shine: 0 }));
    throat.position.z = -0.16;
    cloth.scale.z = 0.94;
    cloth.position.z = -0.16;
    this.below.add(throat, cloth);
  }

  dispose() {
    for (const group of [this.onHead, this.below]) {
      group.traverse((part) => {
        part.geometry?.dispose();
        part.material?.dispose();
      });
    }
  }
}
