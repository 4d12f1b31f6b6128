// What is in the mouth: two rows of teeth, and a tongue on the jaw.

import { BufferAttribute, BufferGeometry, Group, Mesh, SphereGeometry } from '../three/three.min.js';
import { INDEX } from '../rig.js';
import { clay } from './clay.js';
import { mix } from './fields.js';
import { COLOURS, HINGE } from './plan.js';

const ALONG = 28;

/** A row of teeth: a band bent to the arch of the jaw, shorter towards its ends, with faint notches; `root` and `edge` are heights. */
function row(root, edge, front, halfWidth) {
  const section = [[-0.05, 0], [0, 0.06], [0.012, 0.35], [0.012, 0.7], [0, 0.95], [-0.03, 1], [-0.06, 0.95]];
  const places = [];
  const triangles = [];
  for (let k = 0; k <= ALONG; k += 1) {
    const across = (2 * k) / ALONG - 1;
    const notch = 0.004 * Math.cos(across * 9 * Math.PI);
    for (const [out, share] of section) {
      const forward = front - 0.26 * across ** 2 - 0.02 * across ** 4;
      places.push(across * halfWidth, mix(root, edge + 0.035 * Math.sign(root - edge) * across ** 2, share), forward + out + notch);
    }
  }
  const size = section.length;
  for (let k = 0; k < ALONG; k += 1) {
    for (let s = 0; s + 1 < size; s += 1) {
      const a = k * size + s;
      const [b, c] = root > edge ? [a + 1, a + size] : [a + size, a + 1]; // the outside faces forward
      triangles.push(a, b, c, b, a + size + 1, c);
    }
  }
  const geometry = new BufferGeometry();
  geometry.setIndex(triangles);
  geometry.setAttribute('position', new BufferAttribute(Float32Array.from(places), 3));
  geometry.computeVertexNormals();
  return geometry;
}

/** Teeth and tongue. */
export class Mouth {
  constructor() {
    const enamel = clay({ colour: COLOURS.tooth });
    const flesh = clay({ colour: COLOURS.tongue, shine: 0.08 });
    this.materials = [enamel, flesh];
    this.group = new Group();
    this.jaw = new Group(); // turns about the hinge
    this.jaw.position.set(0, HINGE.y, HINGE.z);
    const place = (mesh, x, y, z) => {
      mesh.position.set(x, y - HINGE.y, z - HINGE.z);
      this.jaw.add(mesh);
      return mesh;
    };
    this.group.add(new Mesh(row(-0.34, -0.47, 0.745, 0.31), enamel), this.jaw);
    place(new Mesh(row(-0.57, -0.488, 0.715, 0.28), enamel), 0, 0, 0);
    this.tongue = place(new Mesh(new SphereGeometry(1, 24, 16), flesh), 0, 0, 0);
  }

  set(weights) {
    const open = weights[INDEX.jawOpen];
    this.jaw.rotation.x = open * HINGE.angle;
    this.jaw.position.x = 0.1 * (weights[INDEX.jawLeft] - weights[INDEX.jawRight]);
    this.jaw.position.z = HINGE.z + 0.09 * weights[INDEX.jawForward];
    const out = weights[INDEX.tongueOut];
    this.tongue.position.set(0, mix(-0.545, -0.46, out) - HINGE.y, mix(0.48, 0.68, out) - HINGE.z);
    this.tongue.scale.set(0.15, mix(0.05, 0.034, out), mix(0.2, 0.28, out));
    this.tongue.rotation.x = mix(0, 0.22, out);
  }

  dispose() {
    this.group.traverse((part) => part.geometry?.dispose());
    for (const material of this.materials) material.dispose();
  }
}
