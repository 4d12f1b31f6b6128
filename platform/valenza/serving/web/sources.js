// Where sound comes from: a microphone, or a file that is played as it is sent.

const RATE = 16_000;
const CAPTURE = new URL('./capture.js', import.meta.url);

/** What kept the sound from coming, in words for whoever sits before the page. */
export class NoSound extends Error {}

const REFUSALS = {
  NotAllowedError: 'The microphone was refused. Allow it for this page in the address bar, and try again.',
  NotFoundError: 'There is no microphone on this device.',
  NotReadableError: 'The microphone is in use by another program.',
};

/** A context with the worklet that cuts sound into messages. */
async function contextAt(rate) {
  const context = new AudioContext(rate ? { sampleRate: rate } : {});
  await context.audioWorklet.addModule(CAPTURE);
  return context;
}

/** Sound that flows: `rate` in hertz, `begin(heard)` starts it, `heard` is given Int16Arrays, `stop()` ends it. */
class Flow {
  #context;
  #source;
  #release;

  constructor(context, source, release) {
    this.#context = context;
    this.#source = source;
    this.#release = release;
    this.rate = context.sampleRate;
  }

  async begin(heard) {
    const capture = new AudioWorkletNode(this.#context, 'capture', { numberOfOutputs: 0 });
    capture.port.onmessage = ({ data }) => heard(data);
    this.#source.connect(capture);
    if (this.#source instanceof AudioBufferSourceNode) {
      this.#source.connect(this.#context.destination);
      this.#source.start();
    }
    await this.#context.resume();
  }

  async stop() {
    this.#release();
    this.#source.disconnect();
    if (this.#context.state !== 'closed') await this.#context.close();
  }
}

/** The microphone; throws `NoSound` where there is none to be had. */
export async function microphone() {
  if (!navigator.mediaDevices) throw new NoSound('Browsers give the microphone to pages on https and on localhost only.');
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({
      audio: { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: true },
    });
  } catch (problem) {
    throw new NoSound(REFUSALS[problem.name] ?? `The microphone does not work: ${problem.message}`);
  }
  const release = () => stream.getTracks().forEach((track) => track.stop());
  for (const rate of [RATE, null]) { // some browsers hear a microphone at its own rate only: the server takes any
    const context = await contextAt(rate);
    try {
      return new Flow(context, context.createMediaStreamSource(stream), release);
    } catch (problem) {
      await context.close();
      if (rate === null) {
        release();
        throw new NoSound(`The microphone does not work: ${problem.message}`);
      }
    }
  }
  return null;
}

/** A file, played once at its own speed; `ended` is called at its end. Throws `NoSound` where it cannot be read. */
export async function recording(file, ended) {
  const context = await contextAt(RATE);
  try {
    const buffer = await context.decodeAudioData(await file.arrayBuffer());
    const source = new AudioBufferSourceNode(context, { buffer });
    source.onended = ended;
    return new Flow(context, source, () => { source.onended = null; });
  } catch (problem) {
    await context.close();
    throw new NoSound(`${file.name} cannot be read as sound by this browser.`, { cause: problem });
  }
}
