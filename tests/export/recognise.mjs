// Runs an ONNX file in Node on the audio of a JSON file, and prints its outputs as JSON.
import { readFile } from "node:fs/promises";
import ort from "onnxruntime-node";

const [model, inputs] = process.argv.slice(2);
const { audio, lengths } = JSON.parse(await readFile(inputs, "utf8"));
const session = await ort.InferenceSession.create(model);
const said = await session.run({
  audio: new ort.Tensor("float32", Float32Array.from(audio.flat()), [audio.length, audio[0].length]),
  lengths: new ort.Tensor("int64", BigInt64Array.from(lengths.map(BigInt)), [lengths.length]),
});
const plain = Object.entries(said).map(([name, { data, dims }]) => [name, { data: [...data], dims }]);
console.log(JSON.stringify(Object.fromEntries(plain)));
