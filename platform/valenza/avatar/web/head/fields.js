// Small functions of position that the head is made and moved with. Lengths are in units of about half a head's height.

export const smoothstep = (from, to, x) => {
  const share = Math.min(1, Math.max(0, (x - from) / (to - from)));
  return share * share * (3 - 2 * share);
};

export const mix = (from, to, share) => from + share * (to - from);

/** 1 in the middle of an upright ellipse in the frontal plane, falling off as a bell; radii are one standard deviation × √2. */
export const blob = (x, y, middleX, middleY, radiusX, radiusY) =>
  Math.exp(-(((x - middleX) / radiusX) ** 2) - ((y - middleY) / radiusY) ** 2);

/** 1 at distance 0, falling off as a bell. */
export const near = (distance, radius) => Math.exp(-((distance / radius) ** 2));

/** Colours as linear triples, mixed where regions meet. */
export const tint = (from, to, share) => from.map((channel, c) => mix(channel, to[c], share));
