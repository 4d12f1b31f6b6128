// The matt material of everything but the eyeballs. It is lit at its vertices, of which the head has plenty: drawn in software, a face then
// costs a third of what light at every pixel does, and at this size it looks the same.

import { Color, DoubleSide, FrontSide, ShaderMaterial } from '../three/three.min.js';

const VERTEX = /* glsl */ `
  uniform vec3 tone;
  uniform float shine;
  centroid varying vec3 seen; // never taken from beside a triangle

  // Light that reaches a little beyond the edge of shade, as it does in skin and clay.
  float around(vec3 normal, vec3 towards) {
    return max(0.0, (dot(normal, normalize(towards)) + 0.25) / 1.25);
  }

  vec3 display(vec3 linear) {
    vec3 bright = 1.055 * pow(max(linear, vec3(0.0031308)), vec3(1.0 / 2.4)) - 0.055;
    return clamp(bright, 0.0, 1.0);
  }

  void main() {
    vec4 place = modelViewMatrix * vec4(position, 1.0);
    vec3 facing = normalize(normalMatrix * normal);
    vec3 viewer = normalize(-place.xyz);
    if (dot(facing, viewer) < 0.0) facing = -facing; // the inside of a lid
    vec3 key = vec3(-0.36, 0.5, 0.66);
    vec3 sky = mix(vec3(0.36, 0.255, 0.22), vec3(0.55, 0.53, 0.51), 0.5 + 0.5 * facing.y);
    vec3 light = sky
      + vec3(0.56, 0.50, 0.44) * around(facing, key)
      + vec3(0.13, 0.15, 0.185) * around(facing, vec3(0.84, 0.1, 0.52))
      + vec3(0.26) * pow(1.0 - max(0.0, dot(facing, viewer)), 3.0) * (0.35 + 0.65 * max(0.0, facing.y));
    float glance = pow(max(0.0, dot(facing, normalize(normalize(key) + viewer))), 24.0);
    #ifdef USE_COLOR
      vec3 own = tone * color;
    #else
      vec3 own = tone;
    #endif
    seen = display(own * light + shine * glance);
    gl_Position = projectionMatrix * place;
  }`;

const FRAGMENT = /* glsl */ `
  centroid varying vec3 seen; // never taken from beside a triangle
  void main() {
    gl_FragColor = vec4(seen, 1.0);
  }`;

/** A material of one linear colour, or, without one, of the vertices' own colours. */
export function clay({ colour = null, shine = 0.04, bothSides = false } = {}) {
  return new ShaderMaterial({
    uniforms: { tone: { value: new Color().fromArray(colour ?? [1, 1, 1]) }, shine: { value: shine } },
    vertexShader: VERTEX,
    fragmentShader: FRAGMENT,
    vertexColors: colour === null,
    side: bothSides ? DoubleSide : FrontSide,
  });
}
