// Measures and colours of the head that several of its parts must agree on. +x is the head's own left, +y up, +z forward.

import { Color } from '../three/three.min.js';
import { mix, smoothstep } from './fields.js';

const linear = (hex) => new Color(hex).toArray(); // three.js converts to linear light

export const EYE = { x: 0.3, y: 0.1, z: 0.595, radius: 0.21 };
export const LID = { upper: 1.09, lower: 1.06 }; // radii in eyeballs: the upper lid shuts over the lower
export const MOUTH = { y: -0.43, halfWidth: 0.255 };
export const HINGE = { y: -0.12, z: 0.02, angle: 0.42 }; // of the jaw; radians at jawOpen = 1

export const COLOURS = {
  skin: linear('#e9ab86'),
  shade: linear('#c97f5f'),
  blush: linear('#e08a6d'),
  lip: linear('#c4695a'),
  lash: linear('#3b2620'),
  brow: linear('#4a2c20'),
  cavity: linear('#4a1216'),
  throat: linear('#1d0507'),
  tongue: linear('#d9636b'),
  tooth: linear('#fbf6ec'),
  hair: linear('#5a3524'),
  shirt: linear('#3f7f86'),
};
export const BACKGROUND = '#dfe7ea';

/** How far the hair reaches from the crown at this bearing (0 is the front), in radians. */
export function hairline(bearing) {
  const side = Math.abs(bearing) / Math.PI; // 0 front … 1 back
  const temple = mix(0.8, 1.4, smoothstep(0.12, 0.44, side));
  return mix(temple, 2.05, smoothstep(0.45, 0.85, side)) + 0.1 * Math.exp(-(((bearing + 0.55) / 0.45) ** 2));
}
