// From an emotion mixture to the 52 weights of ARKit. Every number is in rig.json; Python's valenza.avatar.rig reads the same file.

/** The 52 blend shapes of ARKit, in the order of every weight vector. */
export const ARKIT = Object.freeze([
  'eyeBlinkLeft', 'eyeLookDownLeft', 'eyeLookInLeft', 'eyeLookOutLeft', 'eyeLookUpLeft', 'eyeSquintLeft', 'eyeWideLeft',
  'eyeBlinkRight', 'eyeLookDownRight', 'eyeLookInRight', 'eyeLookOutRight', 'eyeLookUpRight', 'eyeSquintRight',
  'eyeWideRight',
  'jawForward', 'jawLeft', 'jawRight', 'jawOpen',
  'mouthClose', 'mouthFunnel', 'mouthPucker', 'mouthLeft', 'mouthRight', 'mouthSmileLeft', 'mouthSmileRight',
  'mouthFrownLeft', 'mouthFrownRight', 'mouthDimpleLeft', 'mouthDimpleRight', 'mouthStretchLeft', 'mouthStretchRight',
  'mouthRollLower', 'mouthRollUpper', 'mouthShrugLower', 'mouthShrugUpper', 'mouthPressLeft', 'mouthPressRight',
  'mouthLowerDownLeft', 'mouthLowerDownRight', 'mouthUpperUpLeft', 'mouthUpperUpRight',
  'browDownLeft', 'browDownRight', 'browInnerUp', 'browOuterUpLeft', 'browOuterUpRight',
  'cheekPuff', 'cheekSquintLeft', 'cheekSquintRight', 'noseSneerLeft', 'noseSneerRight', 'tongueOut',
]);

/** Position of each blend shape in a weight vector. */
export const INDEX = Object.freeze(Object.fromEntries(ARKIT.map((name, index) => [name, index])));

/** A weight vector from named weights; a name that ARKit does not have is an error. */
export function vector(named) {
  const weights = new Float32Array(ARKIT.length);
  for (const [name, weight] of Object.entries(named)) {
    if (!(name in INDEX)) throw new Error(`rig.json: ARKit has no blend shape "${name}"`);
    weights[INDEX[name]] = weight;
  }
  return weights;
}

/** Emotions, voice and blinks as weight vectors. */
export class Rig {
  constructor(numbers) {
    if (numbers.format !== 1) throw new Error(`rig.json: format ${numbers.format} instead of 1`);
    this.classes = Object.keys(numbers.emotions);
    this.presets = Object.values(numbers.emotions).map(vector);
    this.mouth = vector(numbers.mouth);
    this.blink = { ...numbers.blink, weights: vector(numbers.blink.weights) };
    this.gaze = numbers.gaze;
    this.sway = numbers.sway;
  }

  /** clamp(Σ mixture·preset + voice·mouth, 0, 1): mixture over the 8 classes, voice 0…1. */
  weights(mixture, voice = 0) {
    const weights = new Float32Array(ARKIT.length);
    for (let k = 0; k < weights.length; k += 1) {
      let sum = voice * this.mouth[k];
      for (let c = 0; c < this.presets.length; c += 1) sum += mixture[c] * this.presets[c][k];
      weights[k] = Math.min(1, Math.max(0, sum));
    }
    return weights;
  }
}

/** Read rig.json. */
export async function loadRig(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url}: ${answer.status} ${answer.statusText}`);
  return new Rig(await answer.json());
}
