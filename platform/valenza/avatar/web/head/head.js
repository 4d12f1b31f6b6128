// The head of our own: skin, brows, eyes, mouth and bust, moved together by the 52 weights.

import { Group, Mesh } from '../three/three.min.js';
import { ARKIT, INDEX } from '../rig.js';
import { brows } from './brows.js';
import { Bust } from './bust.js';
import { clay } from './clay.js';
import { plan, Surface } from './deform.js';
import { Eye } from './eyes.js';
import { mix, smoothstep } from './fields.js';
import { Mouth } from './mouth.js';
import { ANGLES, skin } from './skin.js';

const PIVOT = -0.75; // height of the joint that the head turns on
let shared = null;

/** Surfaces are computed once a page: they are the same for every face. */
function surfaces() {
  if (shared) return shared;
  const { vertices, triangles, seam } = skin();
  const inMouth = (vertex, field) => {
    if (!vertex.inside) return field(vertex);
    const lip = vertices[seam + vertex.turn];
    return field(lip).map((length) => length * mix(1, 0, smoothstep(2, 6, vertex.inside)));
  };
  const hair = brows();
  shared = { skin: plan(vertices, triangles, inMouth), brows: plan(hair.vertices, hair.triangles), seam };
  return shared;
}

/** Lips that would pass through each other meet halfway instead. */
function closeLips(places, seam) {
  for (let turn = 1; turn < ANGLES / 2; turn += 1) {
    for (const ring of [0, -ANGLES]) { // the seam, and the first ring inside
      const [up, down] = [3 * (seam + ring + turn) + 1, 3 * (seam + ring + ANGLES - turn) + 1];
      if (places[down] <= places[up]) continue;
      const middle = (places[down] + places[up]) / 2;
      places[up] = middle;
      places[down] = middle;
    }
  }
}

export class Head {
  constructor() {
    const { skin: skinPlan, brows: browPlan, seam } = surfaces();
    this.seam = seam;
    this.skin = new Surface(skinPlan);
    this.brows = new Surface(browPlan);
    this.eyes = [new Eye(1), new Eye(-1)];
    this.mouth = new Mouth();
    this.bust = new Bust();
    this.material = clay();
    this.head = new Group();
    this.head.position.y = PIVOT;
    const inner = new Group();
    inner.position.y = -PIVOT;
    inner.add(
      new Mesh(this.skin.geometry, this.material), new Mesh(this.brows.geometry, this.material),
      ...this.eyes.map((eye) => eye.group), this.mouth.group, this.bust.onHead,
    );
    inner.traverse((part) => { part.frustumCulled = false; });
    this.head.add(inner);
    this.group = new Group();
    this.group.add(this.head, this.bust.below);
    this.set(new Float32Array(ARKIT.length));
  }

  /** Pose the face. */
  set(asked) {
    const weights = Float32Array.from(asked);
    weights[INDEX.mouthClose] = Math.min(weights[INDEX.mouthClose], weights[INDEX.jawOpen]); // it closes what the jaw opens
    this.skin.set(weights, (places) => closeLips(places, this.seam));
    this.brows.set(weights);
    for (const eye of this.eyes) eye.set(weights);
    this.mouth.set(weights);
  }

  /** Turn the head on its neck, in radians. */
  turn(yaw, pitch, roll) {
    this.head.rotation.set(pitch, yaw, roll);
  }

  dispose() {
    for (const part of [this.skin, this.brows, ...this.eyes, this.mouth, this.bust, this.material]) part.dispose();
  }
}
