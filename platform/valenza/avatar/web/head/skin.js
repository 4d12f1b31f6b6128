// The skin: rings of vertices around the mouth, as animators lay them, from the throat over the lips to the back of the head.
//
// A vertex has an angle around the mouth and a ring. Rings outside the seam of the lips are confocal ellipses whose inmost one is the
// seam itself (a line), drawn on a sphere seen from the mouth; so the lips are loops, the cheeks are nearly circles, and the
// upper and the lower half of the seam meet exactly.

import { blob, near, smoothstep, tint } from './fields.js';
import { COLOURS, EYE, hairline, MOUTH } from './plan.js';

export const ANGLES = 104;
const SEAM = 0.36; // half-length of the seam in radians, seen from the middle of the head
const LIPS = { upper: 0.075, lower: 0.09 }; // ring distance at which red meets skin
const TOWARDS = [0, -0.43, Math.sqrt(1 - 0.43 ** 2)]; // direction of the mouth

/** Distances of the rings from the seam along the middle, in radians: close together on the lips, wider behind. */
function distances() {
  const all = [0];
  let step = 0.012;
  while (all.at(-1) < 3.02) {
    all.push(all.at(-1) + step);
    if (all.at(-1) > 0.15) step = Math.min(all.at(-1) > 1.5 ? 0.16 : 0.062, step * 1.07);
  }
  return all;
}

const RINGS = distances();
const INSIDE = [ // rings from the seam into the mouth: back, up or down, narrower
  { back: 0.035, open: 0.0, wide: 1.0 },
  { back: 0.075, open: 0.05, wide: 1.02 },
  { back: 0.16, open: 0.13, wide: 1.0 },
  { back: 0.3, open: 0.15, wide: 0.85 },
  { back: 0.4, open: 0.09, wide: 0.5 },
  { back: 0.43, open: 0.0, wide: 0.02 },
];

/** The bare head, without features, in one direction: a ball with a jaw, flat at the sides. */
function skull([x, y, z]) {
  const low = smoothstep(0.15, -1, y);
  const chin = smoothstep(-0.2, -0.9, y) * smoothstep(-0.2, 0.7, z);
  const width = 0.79 * (1 - 0.24 * low) + 0.03 * blob(y, 0, -0.35, 0, 0.25, 1);
  return [x * width, y * (1 - 0.04 * low), z * (z > 0 ? 0.86 - 0.02 * low + 0.07 * chin : 0.88 - 0.3 * low)];
}

/** How far features push the front of the face forward at (x, y). */
function relief(x, y) {
  const side = Math.abs(x);
  const bridge = 0.085 * blob(x, y, 0, 0.06, 0.06, 0.15);
  const tip = 0.155 * blob(x, y, 0, -0.13, 0.085, 0.085);
  const wing = 0.06 * blob(side, y, 0.088, -0.155, 0.05, 0.055);
  const muzzle = 0.05 * blob(x, y, 0, MOUTH.y, 0.3, 0.17);
  const chin = 0.15 * blob(x, y, 0, -0.72, 0.27, 0.17) - 0.03 * blob(x, y, 0, -0.585, 0.2, 0.06);
  const cheek = 0.045 * blob(side, y, 0.43, -0.2, 0.2, 0.18);
  const ridge = 0.04 * blob(side, y, 0.3, 0.36, 0.24, 0.1);
  const socket = -0.1 * blob(side, y, EYE.x, EYE.y, 0.22, 0.19) - 0.06 * blob(side, y, 0.145, 0.1, 0.06, 0.13)
    + 0.05 * blob(side, y, 0.53, 0.1, 0.07, 0.14);
  const philtrum = -0.012 * blob(x, y, 0, -0.285, 0.035, 0.07);
  return bridge + tip + wing + muzzle + chin + cheek + ridge + socket + philtrum;
}

/** A point of the skin outside the lips: `across` and `up` are radians from the middle of the mouth. */
function outside(across, up) {
  const angle = Math.hypot(across, up);
  const [sine, cosine] = [angle ? Math.sin(angle) / angle : 1, Math.cos(angle)];
  const direction = [
    sine * across,
    cosine * TOWARDS[1] + sine * up * TOWARDS[2],
    cosine * TOWARDS[2] - sine * up * TOWARDS[1],
  ];
  const [x, y, z] = skull(direction);
  const front = smoothstep(0.1, 0.4, z);
  return [x, y, z + front * relief(x, y)];
}

/** How much a ring is lip, and how full it is there. */
function lip(distance, sine) {
  const height = sine > 0 ? LIPS.upper * (1 - 0.16 * near(Math.sqrt(Math.max(0, 1 - sine * sine)), 0.16)) : LIPS.lower;
  const share = distance / height;
  const full = Math.abs(sine) ** 0.9;
  return {
    red: 1 - smoothstep(0.86, 1.12, share),
    forward: full * (sine > 0 ? 0.05 : 0.06) * (share < 1.7 ? Math.sin(Math.PI * Math.min(1, (share + 0.12) / 1.82)) ** 1.2 : 0),
  };
}

/** Every vertex: place at rest, angle, ring, and colour. `inside` is 0 on the skin and counts rings into the mouth. */
function vertices() {
  const all = [];
  for (let ring = INSIDE.length; ring > -RINGS.length; ring -= 1) {
    for (let turn = 0; turn < ANGLES; turn += 1) all.push(vertex(ring, turn));
  }
  return all;
}

function vertex(ring, turn) {
  const angle = (2 * Math.PI * turn) / ANGLES;
  const [cosine, sine] = [Math.cos(angle), Math.abs(Math.sin(angle)) < 1e-9 ? 0 : Math.sin(angle)];
  const distance = ring > 0 ? 0 : RINGS[-ring];
  const [x, curved, z] = outside(Math.hypot(SEAM, distance) * cosine, distance * sine);
  const y = curved + (MOUTH.y - outside(SEAM * cosine, 0)[1]) * near(distance, 0.3); // the seam is level, the head is not
  const { red, forward } = lip(distance, sine);
  const place = { x, y, z: z + forward, cosine, sine, distance, seamY: MOUTH.y, turn, inside: Math.max(0, ring) };
  if (ring <= 0) return { ...place, colour: complexion(place, red) };
  const { back, open, wide } = INSIDE[ring - 1];
  const deep = smoothstep(1, INSIDE.length - 1, ring);
  return {
    ...place, x: x * wide, y: y + open * sine, z: z - back,
    colour: ring === 1 ? tint(COLOURS.lip, COLOURS.cavity, 0.5) : tint(COLOURS.cavity, COLOURS.throat, deep),
  };
}

/** Colour of the skin: lips, blush on cheeks and nose, shade in the sockets, nostrils and under the chin. */
function complexion({ x, y, z }, red) {
  const under = Math.acos(Math.min(1, Math.max(-1, y))) < hairline(Math.atan2(x, z)) - 0.07;
  if (under) return COLOURS.hair; // nothing light may glimmer through
  if (z < 0) return COLOURS.skin;
  const side = Math.abs(x);
  const rosy = 0.5 * blob(side, y, 0.43, -0.2, 0.15, 0.12) + 0.3 * blob(x, y, 0, -0.14, 0.09, 0.08);
  const shaded = 0.5 * blob(side, y, EYE.x, EYE.y, 0.24, 0.21) + 0.35 * smoothstep(-0.75, -1, y)
    + 0.5 * blob(side, y, 0.045, -0.215, 0.026, 0.02) + 0.35 * blob(x, y, 0, -0.575, 0.16, 0.035);
  return tint(tint(tint(COLOURS.skin, COLOURS.blush, rosy), COLOURS.shade, Math.min(1, shaded)), COLOURS.lip, red);
}

/** Triangles between neighbouring rings, facing outward (and into the open mouth). */
function triangles(count) {
  const all = [];
  for (let ring = 0; ring + 1 < count / ANGLES; ring += 1) {
    for (let turn = 0; turn < ANGLES; turn += 1) {
      const [a, b] = [ring * ANGLES + turn, ring * ANGLES + ((turn + 1) % ANGLES)];
      all.push(a, a + ANGLES, b, b, a + ANGLES, b + ANGLES);
    }
  }
  return all;
}

/** The skin at rest. */
export function skin() {
  const all = vertices();
  return { vertices: all, triangles: triangles(all.length), seam: INSIDE.length * ANGLES };
}

/** Height of the face's front at (x, y): where brows lie. */
export const frontAt = (x, y) => {
  const squared = 1 - (x / 0.79) ** 2 - y ** 2;
  return 0.86 * Math.sqrt(Math.max(0, squared)) + relief(x, y);
};
