// Where sound comes from: a microphone, or a file that is played as it is sent.

const RATE = 16_000;
const MOST = 96_000; // hertz: the server takes no more
const CAPTURE = new URL('./capture.js', import.meta.url);

/** What kept the sound from coming, in words for whoever sits before the page. */
export class NoSound extends Error {}

const REFUSALS = {
  NotAllowedError: 'The microphone was refused. Allow it for this page in the address bar, and try again.',
  NotFoundError: 'There is no microphone on this device.',
  NotReadableError: 'The microphone is in use by another program.',
};

/** A context with the worklet that cuts sound into messages; it keeps its own rate where `rate` is null. */
async function contextAt(rate) {
  const context = new AudioContext(rate ? { sampleRate: rate } : {});
  try {
    await context.audioWorklet.addModule(CAPTURE);
  } catch (problem) {
    await context.close();
    throw new NoSound('The server cannot be reached.', { cause: problem });
  }
  return context;
}

/** Sound that flows: `rate` in hertz, `begin(heard)` starts it, `heard` is given Int16Arrays, `stop()` ends it. */
class Flow {
  #context;
  #source;
  #release;
  #every;

  constructor(context, source, release) {
    this.#context = context;
    this.#source = source;
    this.#release = release;
    this.#every = Math.ceil(context.sampleRate / MOST);
    this.rate = context.sampleRate / this.#every;
  }

  async begin(heard) {
    const processorOptions = { every: this.#every };
    const capture = new AudioWorkletNode(this.#context, 'capture', { numberOfOutputs: 0, processorOptions });
    capture.port.onmessage = ({ data }) => heard(data);
    this.#source.connect(capture);
    if (this.#source instanceof AudioBufferSourceNode) {
      this.#source.connect(this.#context.destination);
      this.#source.start();
    }
    await this.#context.resume();
  }

  /** May be called again. */
  async stop() {
    if (!this.#release) return;
    this.#release();
    this.#release = null;
    this.#source.disconnect();
    await this.#context.close();
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
  let problem;
  for (const rate of [RATE, null]) { // some browsers hear a microphone at its own rate only
    let context = null;
    try {
      context = await contextAt(rate);
      return new Flow(context, context.createMediaStreamSource(stream), release);
    } catch (met) {
      problem = met;
      await context?.close();
    }
  }
  release();
  throw problem instanceof NoSound ? problem : new NoSound(`The microphone does not work: ${problem.message}`);
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
