// What each ARKit blend shape does to a point of the face: a displacement as a function of where the point is at rest.
//
// Points know their place (x, y, z), the sine of their angle around the mouth, their distance from the lips' seam, and the seam's
// height. Shapes of one side are written for the left (+x) and mirrored. A displacement is what weight 1 does; displacements of several
// shapes add up.

import { blob, near, smoothstep } from './fields.js';
import { HINGE, MOUTH } from './plan.js';

const CORNER = MOUTH.halfWidth;
const own = (x) => smoothstep(-0.1, 0.1, x);
const upper = (p) => Math.max(0, p.sine) ** 1.15;
const lower = (p) => Math.max(0, -p.sine) ** 1.15;
const lips = (p, reach) => near(p.distance, reach);
const forward = (p) => smoothstep(0.05, 0.35, p.z);
const add = (...moves) => [0, 1, 2].map((axis) => moves.reduce((sum, move) => sum + move[axis], 0));
const times = (weight, move) => move.map((length) => weight * length);

/** Where a point that hangs on the jaw goes when the jaw opens by `weight`. */
export function swing(y, z, weight) {
  const [cosine, sine] = [Math.cos(weight * HINGE.angle), Math.sin(weight * HINGE.angle)];
  const [dy, dz] = [y - HINGE.y, z - HINGE.z];
  return [dy * cosine - dz * sine + HINGE.y, dy * sine + dz * cosine + HINGE.z];
}

/** How firmly a point hangs on the jaw: the lower lip and the chin wholly, the corners of the mouth a little, the upper lip not. */
function hold(p) {
  const down = smoothstep(-0.4, 1, -p.sine);
  return down * (1 - smoothstep(0.75, 1.35, p.distance)) * smoothstep(-0.15, 0.25, p.z);
}

function jawOpen(p) {
  const [y, z] = swing(p.y, p.z, 1);
  const narrow = -0.1 * p.x * lips(p, 0.2);
  return add(times(hold(p), [0, y - p.y, z - p.z]), [narrow, 0, 0]);
}

const seamward = (p) => p.seamY - p.y;

/** Shapes of the middle, or of both sides at once. */
const MIDDLE = {
  jawForward: (p) => times(hold(p), [0, 0, 0.08]),
  jawOpen,
  mouthClose: (p) => times(-lips(p, 0.2), jawOpen(p)),
  mouthFunnel: (p) => times(lips(p, 0.17), [-0.36 * p.x, 0.055 * upper(p) - 0.075 * lower(p), 0.085]),
  mouthPucker: (p) => times(lips(p, 0.17), [-0.5 * p.x, 0.15 * seamward(p), 0.1]),
  mouthRollLower: (p) => times(lower(p) * lips(p, 0.1), [0, 0.65 * seamward(p), -0.045]),
  mouthRollUpper: (p) => times(upper(p) * lips(p, 0.1), [0, 0.65 * seamward(p), -0.045]),
  mouthShrugLower: (p) => add(
    times(blob(p.x, p.y, 0, -0.5, 0.17, 0.15), [0, 0.06, 0.035]),
    times(blob(p.x, p.y, 0, -0.66, 0.14, 0.08), [0, 0.04, -0.02]),
  ),
  mouthShrugUpper: (p) => times(blob(p.x, p.y, 0, -0.37, 0.18, 0.1), [0, 0.045, 0.03]),
  browInnerUp: (p) => {
    const x = Math.abs(p.x);
    return add(
      times(blob(x, p.y, 0.12, 0.42, 0.14, 0.22), [-0.25 * p.x, 0.13, 0]),
      times(blob(x, p.y, 0.46, 0.38, 0.14, 0.16), [0, -0.02, 0]),
    );
  },
  cheekPuff: (p) => {
    const puffed = blob(Math.abs(p.x), p.y, 0.42, -0.37, 0.17, 0.17);
    return times(puffed, [0.09 * Math.sign(p.x), 0, 0.08]);
  },
  tongueOut: (p) => times(lower(p) * lips(p, 0.15) * near(p.x, 0.2), [0, -0.06, 0.01]),
};

/** Shapes of the left; the right is their mirror image. */
const LEFT = {
  mouthSmile: (p) => add(
    times(own(p.x) * blob(p.x, p.y, CORNER + 0.03, MOUTH.y, 0.2, 0.16), [0.09, 0.12, -0.06]),
    times(blob(p.x, p.y, 0.42, -0.2, 0.19, 0.16), [0.015, 0.05, 0.06]),
    times(blob(p.x, p.y, 0.2, -0.26, 0.06, 0.08), [0, 0.02, -0.02]),
    times(own(p.x) * blob(p.x, p.y, 0, MOUTH.y, 0.15, 0.12), [0, 0, -0.02]),
  ),
  mouthFrown: (p) => add(
    times(own(p.x) * blob(p.x, p.y, CORNER, MOUTH.y - 0.02, 0.13, 0.15), [0.005, -0.115, -0.02]),
    times(blob(p.x, p.y, 0.3, -0.6, 0.1, 0.1), [0.01, -0.01, 0.025]),
  ),
  mouthDimple: (p) => times(blob(p.x, p.y, CORNER + 0.02, MOUTH.y, 0.1, 0.1), [0.045, 0.012, -0.05]),
  mouthStretch: (p) => add(
    times(own(p.x) * blob(p.x, p.y, CORNER + 0.02, MOUTH.y, 0.2, 0.15), [0.115, -0.035, -0.055]),
    times(own(p.x) * lips(p, 0.1), [0, 0.2 * seamward(p), -0.02]),
  ),
  mouthPress: (p) => times(own(p.x) * lips(p, 0.11), [0, 0.4 * seamward(p) + 0.012 * (lower(p) - upper(p)), -0.03]),
  mouthUpperUp: (p) => add(
    times(upper(p) * own(p.x) * lips(p, 0.2) * near(p.x, 0.25), [0, 0.085, 0.015]),
    times(blob(p.x, p.y, 0.19, -0.22, 0.09, 0.1), [0.01, 0.03, 0.025]),
  ),
  mouthLowerDown: (p) => times(lower(p) * own(p.x) * lips(p, 0.2) * near(p.x, 0.25), [0, -0.085, 0]),
  browDown: (p) => add(
    times(own(p.x) * blob(p.x, p.y, 0.13, 0.38, 0.15, 0.14), [-0.035, -0.16, 0.03]),
    times(blob(p.x, p.y, 0.38, 0.44, 0.17, 0.13), [-0.01, -0.075, 0.015]),
    times(blob(p.x, p.y, 0.02, 0.3, 0.05, 0.09), [0, -0.02, 0.02]),
  ),
  browOuterUp: (p) => times(blob(p.x, p.y, 0.43, 0.43, 0.22, 0.24), [0.005, 0.125, 0.005]),
  cheekSquint: (p) => times(blob(p.x, p.y, 0.36, -0.1, 0.2, 0.12), [0.01, 0.055, 0.05]),
  noseSneer: (p) => add(
    times(blob(p.x, p.y, 0.088, -0.15, 0.065, 0.08), [0.015, 0.055, 0.015]),
    times(blob(p.x, p.y, 0.19, -0.17, 0.08, 0.1), [0, 0.035, 0.035]),
    times(upper(p) * own(p.x) * lips(p, 0.16) * near(p.x - 0.13, 0.13), [0, 0.05, 0.01]),
    times(own(p.x) * blob(p.x, p.y, 0, 0.05, 0.08, 0.1), [0, 0.015, 0.02 * Math.sin(70 * p.y)]),
  ),
  eyeSquint: (p) => times(blob(p.x, p.y, 0.32, -0.07, 0.18, 0.09), [0, 0.03, 0.025]),
};

/** Shapes that move the whole mouth or jaw to the left; the right is the same the other way. */
const SIDEWAYS = {
  jaw: (p) => times(hold(p), [0.1, 0, 0]),
  mouth: (p) => times(lips(p, 0.28), [0.1, 0, -0.01]),
};

const STILL = [0, 0, 0];
const onFront = (field) => (p) => (p.z > 0.05 ? times(forward(p), field(p)) : STILL);
const mirrored = (field) => ({ x, y, z, sine, distance, seamY }) => {
  const [dx, dy, dz] = field({ x: -x, y, z, sine, distance, seamY });
  return [-dx, dy, dz];
};

/** Displacement fields by ARKit name. Eyes and lids are not skin: head/eyes.js moves them. */
export const SHAPES = Object.freeze({
  ...Object.fromEntries(Object.entries(MIDDLE).map(([name, field]) => [name, onFront(field)])),
  ...Object.fromEntries(Object.entries({ ...LEFT, ...SIDEWAYS }).flatMap(([name, field]) => [
    [`${name}Left`, onFront(field)],
    [`${name}Right`, onFront(mirrored(field))],
  ])),
});
