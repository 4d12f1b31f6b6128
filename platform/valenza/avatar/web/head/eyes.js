// Two eyes: a painted ball, a glint, and lids that turn about the eye's corners as a visor does.

import {
  BufferAttribute, BufferGeometry, CanvasTexture, Group, Mesh, MeshBasicMaterial, MeshLambertMaterial, SphereGeometry,
  SRGBColorSpace,
} from '../three/three.min.js';
import { INDEX } from '../rig.js';
import { clay } from './clay.js';
import { mix, smoothstep, tint } from './fields.js';
import { COLOURS, EYE, LID } from './plan.js';

const ACROSS = 30;
const ROWS = 9; // from the lid's edge to its hidden end
const REST = { upper: 0.5, lower: -0.53 }; // elevation of the lids' edges in radians
const SHUT = -0.34; // where they meet
const CORNER = { inner: 0.84, outer: 0.93 }; // sines of the lateral angles at which the lids' edges meet
const TURN = { side: 0.5, up: 0.38 }; // radians that a full eyeLook weight turns the ball

/** White, iris and pupil, painted for a ball that is looked at from the front. */
function painting() {
  const canvas = document.createElement('canvas');
  canvas.width = 256;
  canvas.height = 256;
  const pen = canvas.getContext('2d');
  const disc = (radius, fill) => {
    pen.fillStyle = fill;
    pen.beginPath();
    pen.arc(128, 128, radius, 0, 2 * Math.PI);
    pen.fill();
  };
  const shaded = (stops, radius, x = 128, y = 128) => {
    const gradient = pen.createRadialGradient(x, y, 0, x, y, radius);
    stops.forEach(([at, colour]) => gradient.addColorStop(at, colour));
    return gradient;
  };
  pen.fillStyle = shaded([[0, '#ffffff'], [0.7, '#fbf8f4'], [1, '#e5d5cb']], 128);
  pen.fillRect(0, 0, 256, 256);
  disc(60, '#1f3a37');
  disc(55, shaded([[0, '#9fd0b4'], [0.55, '#4f9a86'], [1, '#2c665f']], 62, 128, 152));
  disc(26, '#0d1213');
  const texture = new CanvasTexture(canvas);
  texture.colorSpace = SRGBColorSpace;
  return texture;
}

/** A ball whose texture is laid on from the front. */
function ball() {
  const geometry = new SphereGeometry(EYE.radius, 28, 18);
  const { position, uv } = geometry.attributes;
  for (let k = 0; k < position.count; k += 1) {
    const [x, y, z] = [position.getX(k), position.getY(k), position.getZ(k)];
    const stretch = z > 0 ? 1 : EYE.radius / Math.max(1e-6, Math.hypot(x, y)); // behind, everything is the white's rim
    uv.setXY(k, 0.5 + (x * stretch) / (2.02 * EYE.radius), 0.5 + (y * stretch) / (2.02 * EYE.radius));
  }
  return geometry;
}

/** One lid: a visor of `radius`, its edge at a given elevation, its hidden end behind the skin. */
class Lid {
  constructor(radius, hidden, dark) {
    Object.assign(this, { radius, hidden });
    const geometry = new BufferGeometry();
    const count = ACROSS * (ROWS + 1);
    const colours = Array.from({ length: count }, (_, k) => {
      const row = Math.floor(k / ACROSS);
      return row < 2 ? COLOURS.lash : tint(row === 2 ? tint(COLOURS.skin, COLOURS.lash, dark) : COLOURS.skin, COLOURS.shade, 0.3);
    }).flat();
    const triangles = [];
    for (let row = 0; row < ROWS; row += 1) {
      for (let k = row * ACROSS; k < (row + 1) * ACROSS - 1; k += 1) {
        triangles.push(k, k + 1, k + ACROSS, k + 1, k + ACROSS + 1, k + ACROSS);
      }
    }
    geometry.setIndex(triangles);
    for (const name of ['position', 'normal']) geometry.setAttribute(name, new BufferAttribute(new Float32Array(3 * count), 3));
    geometry.setAttribute('color', new BufferAttribute(Float32Array.from(colours), 3));
    this.mesh = new Mesh(geometry, clay({ bothSides: true }));
  }

  /** Put the edge at `elevation(lateral)` radians; `lash` is the height of the dark rim in radians. */
  set(elevation, lash) {
    const { position, normal } = this.mesh.geometry.attributes;
    const sign = Math.sign(this.hidden);
    for (let row = 0; row <= ROWS; row += 1) {
      const radius = row === 0 ? EYE.radius * 0.99 : this.radius;
      for (let k = 0; k < ACROSS; k += 1) {
        const lateral = Math.PI * (k / (ACROSS - 1) - 0.5);
        const edge = elevation(lateral);
        const rows = [0, 0, lash, lash + 0.06];
        const at = row < 4 ? edge + sign * rows[row] : mix(edge + sign * (lash + 0.06), this.hidden, (row - 3) / (ROWS - 3));
        const out = [Math.sin(lateral), Math.cos(lateral) * Math.sin(at), Math.cos(lateral) * Math.cos(at)];
        const index = row * ACROSS + k;
        position.setXYZ(index, ...out.map((axis) => axis * radius));
        normal.setXYZ(index, ...out);
      }
    }
    position.needsUpdate = true;
    normal.needsUpdate = true;
    this.mesh.geometry.computeBoundingSphere();
  }
}

/** One eye; `side` is +1 for the head's left. */
export class Eye {
  constructor(side) {
    this.side = side;
    this.name = side > 0 ? 'Left' : 'Right';
    this.group = new Group();
    this.group.position.set(side * EYE.x, EYE.y, EYE.z);
    this.ball = new Mesh(ball(), new MeshLambertMaterial({ map: painting() }));
    const glint = new Mesh(new SphereGeometry(0.022, 12, 8), new MeshBasicMaterial({ color: '#ffffff' }));
    glint.position.set(-0.3, 0.42, 0.9).normalize().multiplyScalar(EYE.radius * 0.975);
    glint.scale.set(1, 1, 0.4);
    this.upper = new Lid(EYE.radius * LID.upper, 2.3, 0.25);
    this.lower = new Lid(EYE.radius * LID.lower, -2.1, 0.1);
    this.group.add(this.ball, glint, this.upper.mesh, this.lower.mesh);
  }

  /** Turn the ball and set the lids. */
  set(weights) {
    const w = (name) => weights[INDEX[`${name}${this.name}`]];
    const out = w('eyeLookOut') - w('eyeLookIn');
    const up = w('eyeLookUp') - w('eyeLookDown');
    this.ball.rotation.set(-up * TURN.up, this.side * out * TURN.side, 0);
    const inner = weights[INDEX.browInnerUp];
    const squint = Math.min(1, w('eyeSquint') + 0.55 * w('cheekSquint') + 0.3 * w('noseSneer') + 0.15 * w('mouthSmile'));
    const top = REST.upper + 0.36 * w('eyeWide') - 0.17 * squint - 0.22 * w('browDown') + 0.05 * w('browOuterUp')
      + 0.3 * (up > 0 ? 0.6 * up : up);
    const bottom = REST.lower - 0.1 * w('eyeWide') + 0.3 * squint + 0.1 * up;
    const shut = smoothstep(0, 1, w('eyeBlink'));
    const tilt = (0.3 * w('browDown') - 0.24 * inner * (1 - 0.6 * w('eyeWide'))) * this.side; // slope of the upper lid, outer end up
    const open = 1 - shut;
    const gap = 0.03;
    const raised = Math.max(top, bottom + 0.1);
    const almond = (lateral) => {
      const corner = lateral * this.side > 0 ? CORNER.outer : CORNER.inner;
      return Math.max(0, 1 - (Math.sin(lateral) / corner) ** 2) ** 0.42;
    };
    const lowerEdge = (lateral) => mix(SHUT, mix(bottom, SHUT, shut), almond(lateral));
    const upperEdge = (lateral) => Math.max(
      mix(SHUT, raised + tilt * Math.sin(lateral), open * almond(lateral)) - gap * (1 - open * almond(lateral)),
      lowerEdge(lateral) - gap,
    );
    this.upper.set(upperEdge, 0.11);
    this.lower.set(lowerEdge, 0.035);
  }

  dispose() {
    this.ball.material.map.dispose();
    for (const part of this.group.children) {
      part.geometry.dispose();
      part.material.dispose();
    }
  }
}
