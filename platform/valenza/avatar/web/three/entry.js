// What the avatar needs of three.js. README.md says how three.min.js is made from this list.
export {
  Box3, BufferAttribute, BufferGeometry, CanvasTexture, Color, DirectionalLight, DoubleSide, FrontSide, Group, HemisphereLight,
  LatheGeometry, Mesh, MeshBasicMaterial, MeshLambertMaterial, PerspectiveCamera,
  Scene, ShaderMaterial, SphereGeometry, SRGBColorSpace, Vector2, Vector3, WebGLRenderer,
} from 'three';
export { GLTFLoader } from 'three/examples/jsm/loaders/GLTFLoader.js';
