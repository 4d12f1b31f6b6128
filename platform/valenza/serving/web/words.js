// What the page says.

export const REST = 'Nothing is being heard. Choose the microphone or a file.';
export const CONNECTING = 'Connecting to the server.';
export const ASKING = 'Waiting for the microphone: your browser may ask you for it.';
export const ENDING = 'Stopped; the last moments are on their way.';
export const SILENT = 'The last moments did not come.';

export const live = (what, latency) =>
  `Live: ${what} is being heard. Emotions follow ${latency.toFixed(1).replace(/\.0$/, '')} s or so after the sound.`;

export const ended = ({ duration, emotion, mixture }, classes) => {
  if (!emotion) return 'Ended; that was too short for anything to be heard.';
  return `Ended: ${duration.toFixed(1)} s, mostly ${emotion} (${percent(mixture[classes.indexOf(emotion)])}).`;
};

export const lost = (reason) => `Disconnected: ${reason.replace(/\.$/, '')}.`;

export const percent = (share) => `${Math.round(100 * share)} %`;
