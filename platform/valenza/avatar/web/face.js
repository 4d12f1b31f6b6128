// A face on a canvas: our own head, or one from a GLB, moved by the 52 weights of ARKit.

import { DirectionalLight, HemisphereLight, PerspectiveCamera, Scene, Vector3, WebGLRenderer } from './three/three.min.js';
import { readGlb } from './glb.js';
import { Head } from './head/head.js';
import { BACKGROUND } from './head/plan.js';
import { ARKIT } from './rig.js';

const DENSEST = 2; // device pixels a CSS pixel: beyond that a face costs more and looks the same
const ANGLE = 22; // degrees of view

/** Soft light from the upper left, a weak fill from the right, a rim from behind. */
function lights() {
  const light = (colour, strength, x, y, z) => {
    const made = new DirectionalLight(colour, strength);
    made.position.set(x, y, z);
    return made;
  };
  return [
    new HemisphereLight('#fff6ee', '#c09482', 1.7),
    light('#fff1e2', 1.65, -2.2, 3.2, 4),
    light('#cfe2ff', 0.55, 4, 0.5, 2.5),
    light('#ffffff', 0.8, 1.5, 2.5, -4),
  ];
}

/** Whether this browser draws without a graphics card; asked once a page. */
const inSoftware = (() => {
  let known = null;
  return () => {
    if (known === null) {
      const context = document.createElement('canvas').getContext('webgl2');
      const name = context?.getExtension('WEBGL_debug_renderer_info')?.UNMASKED_RENDERER_WEBGL;
      known = /swiftshader|llvmpipe|softpipe|basic render/i.test(name ? context.getParameter(name) : '');
      context?.getExtension('WEBGL_lose_context')?.loseContext();
    }
    return known;
  };
})();

export class Face {
  constructor(canvas) {
    this.canvas = canvas;
    this.renderer = new WebGLRenderer({ canvas, antialias: !inSoftware() }); // in software it doubles the time of a frame
    this.renderer.setClearColor(BACKGROUND);
    this.scene = new Scene();
    this.scene.add(...lights());
    this.camera = new PerspectiveCamera(ANGLE, 1, 0.1, 50);
    this.weights = new Float32Array(ARKIT.length);
    this.head = new Head();
    this.scene.add(this.head.group);
    this.frame(new Vector3(0, -0.1, 0), 2.7);
    this.resize();
  }

  /** Look at `middle` from the front so that `height` units around it are seen. */
  frame(middle, height) {
    const far = height / 2 / Math.tan((ANGLE / 2) * (Math.PI / 180));
    this.camera.position.set(middle.x, middle.y, middle.z + far);
    this.camera.near = far / 10;
    this.camera.far = far * 4;
    this.camera.lookAt(middle);
    this.camera.updateProjectionMatrix();
  }

  /** Show a GLB's head instead of our own; answers the ARKit names it has. A file that cannot be used leaves the face as it is. */
  async loadGlb(urlOrBuffer) {
    const loaded = await readGlb(urlOrBuffer);
    this.scene.remove(this.head.group);
    this.head.dispose();
    this.head = loaded;
    this.scene.add(loaded.group);
    const size = loaded.box.getSize(new Vector3());
    this.frame(loaded.box.getCenter(new Vector3()), 1.7 * Math.max(size.x, size.y));
    this.set(this.weights);
    return loaded.names;
  }

  /** Pose the face by 52 weights in 0…1, in the order of ARKIT; render() shows it. */
  set(weights) {
    this.weights = Float32Array.from(weights);
    this.head.set(this.weights);
  }

  /** Turn the head, in radians. */
  turn(yaw, pitch, roll) {
    this.head.turn(yaw, pitch, roll);
  }

  render() {
    this.renderer.render(this.scene, this.camera);
  }

  /** Fit the drawing to the canvas's size on the page; call it when that changes. */
  resize() {
    const { clientWidth, clientHeight } = this.canvas;
    const [width, height] = clientWidth && clientHeight ? [clientWidth, clientHeight] : [this.canvas.width, this.canvas.height];
    this.renderer.setPixelRatio(Math.min(window.devicePixelRatio, DENSEST));
    this.renderer.setSize(width, height, false);
    this.camera.aspect = width / height;
    this.camera.updateProjectionMatrix();
    this.render();
  }

  dispose() {
    this.head.dispose();
    this.renderer.dispose();
  }
}
