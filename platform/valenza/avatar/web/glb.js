// Any GLB whose meshes carry ARKit's blend shapes.

import { Box3, GLTFLoader, Group, Vector3 } from './three/three.min.js';
import { ARKIT } from './rig.js';

const MOVED = 1e-6; // squared share of the model's size under which a vertex is not moved by a shape

/** ARKit names as files spell them: camelCase or PascalCase, with or without underscores, Left/Right or _L/_R, after any prefix's dot. */
export function arkitName(spelled) {
  const last = spelled.split('.').at(-1);
  const plain = last.replace(/_[lL]$/, 'Left').replace(/_[rR]$/, 'Right').replace(/[^A-Za-z]/g, '').toLowerCase();
  return ARKIT.find((name) => name.toLowerCase() === plain) ?? null;
}

/** The places in mesh.morphTargetInfluences of each ARKit weight that the mesh knows. */
function mapping(mesh) {
  return Object.entries(mesh.morphTargetDictionary ?? {}).flatMap(([spelled, influence]) => {
    const name = arkitName(spelled);
    return name ? [{ weight: ARKIT.indexOf(name), influence, target: influence }] : [];
  });
}

/** The box around all vertices that these shapes move, in world units: that is the face, whatever else the file holds. */
function faceBox(driven) {
  const box = new Box3();
  const point = new Vector3();
  for (const { mesh, shapes } of driven) {
    const { position } = mesh.geometry.attributes;
    const moves = mesh.geometry.morphAttributes.position ?? [];
    mesh.geometry.computeBoundingBox();
    const size = mesh.geometry.boundingBox.getSize(new Vector3()).lengthSq();
    for (const { target } of shapes) {
      const move = moves[target];
      for (let k = 0; move && k < position.count; k += 1) {
        const far = move.getX(k) ** 2 + move.getY(k) ** 2 + move.getZ(k) ** 2;
        if (far > MOVED * size) box.expandByPoint(mesh.localToWorld(mesh.getVertexPosition(k, point)));
      }
    }
  }
  return box;
}

/** A loaded head, driven by name. */
export class LoadedHead {
  constructor(scene) {
    this.group = new Group();
    this.group.add(scene);
    this.driven = [];
    scene.updateMatrixWorld(true);
    scene.traverse((mesh) => {
      if (mesh.isMesh) mesh.frustumCulled = false;
      const shapes = mesh.isMesh ? mapping(mesh) : [];
      if (shapes.length) this.driven.push({ mesh, shapes });
    });
    if (!this.driven.length) throw new Error('no mesh of this GLB has a morph target with an ARKit name');
    this.names = [...new Set(this.driven.flatMap(({ shapes }) => shapes.map(({ weight }) => ARKIT[weight])))];
    const box = faceBox(this.driven);
    this.box = box.isEmpty() ? new Box3().setFromObject(scene, true) : box;
  }

  set(weights) {
    for (const { mesh, shapes } of this.driven) {
      for (const { weight, influence } of shapes) mesh.morphTargetInfluences[influence] = weights[weight];
    }
  }

  turn(yaw, pitch, roll) {
    this.group.rotation.set(pitch, yaw, roll);
  }

  dispose() {
    this.group.traverse((part) => {
      part.geometry?.dispose();
      for (const material of [part.material ?? []].flat()) {
        for (const value of Object.values(material)) if (value?.isTexture) value.dispose();
        material.dispose();
      }
    });
  }
}

/** Read a GLB from an address or an ArrayBuffer; files that need a decompressor (Draco, Meshopt, KTX2) are refused by the loader. */
export async function readGlb(urlOrBuffer) {
  const loader = new GLTFLoader();
  const { scene } = urlOrBuffer instanceof ArrayBuffer
    ? await loader.parseAsync(urlOrBuffer, '')
    : await loader.loadAsync(urlOrBuffer);
  return new LoadedHead(scene);
}
