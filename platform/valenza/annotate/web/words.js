// Every sentence that depends on what happens. Plain language: the reader judges faces and knows nothing of the machinery.

export const MESSAGES = {
  link: {
    title: 'Please use your invitation link',
    text:
      'This page opens with a personal link that ends in # and a row of letters. ' +
      'Part of it is missing here: please click the link in your invitation again, or copy the whole of it into the address bar.',
  },
  refused: {
    title: 'This link does not work',
    text:
      'The server does not know this invitation, or it has ended. Please check that the link is complete, ' +
      'and ask the person who sent it for a new one if it is. Nothing that you answered before is lost.',
  },
  declined: {
    title: 'That is fine',
    text: 'Nothing was stored. You can close this page; if you change your mind, the same link works.',
    button: 'Read it again',
  },
  picture: {
    title: 'The faces cannot be drawn here',
    text:
      'This browser or computer shows no 3D pictures (WebGL 2). A current Firefox, Chrome, Edge or Safari with ' +
      'graphics acceleration switched on can. Your place is kept: open the same link there.',
  },
  audio: {
    title: 'This recording cannot be played here',
    text:
      'The browser could not read the sound file (FLAC). A current Firefox, Chrome, Edge or Safari can. ' +
      'Your place is kept: open the same link there.',
  },
  trouble: {
    title: 'Something went wrong',
    text: 'Your answers so far are safe. Please load the page again; if this comes back, tell the person who sent you the link.',
  },
};

export const SAID = {
  elsewhere: 'That pair had been answered already, perhaps in another window. Here is the one that is due.',
  mismatch: 'The server could not take that answer, so this pair is shown again. Please watch it once more.',
  nothingToUndo: 'There is no answer to take back yet.',
  undone: 'Your last answer was taken back. Here is that pair again.',
  sending: 'Saving your answer …',
  back: 'The connection is back.',
  noSound: 'The sound did not start. Please check that the computer has a loudspeaker or headphones, and try again.',
  pictureLost: 'The picture was lost. Please load the page again; your place is kept.',
  playFirst: 'Please play the sound first.',
  delivered: 'Your last answer has been sent.',
  reading: 'Reading the file …',
  worn: 'Both faces use this head now.',
  notWorn:
    'This file cannot be used: it is no GLB file, or it has no face shapes with ARKit names. The faces stay as they are.',
};

const CAUSES = {
  network: 'The connection is lost.',
  busy: 'The server is busy.',
  server: 'The server has a problem.',
};

export function lost(cause, answers) {
  const kept = answers
    ? 'Your answer is kept on this computer and is sent as soon as possible.'
    : 'Your place is kept; we go on as soon as possible.';
  return `${CAUSES[cause]} ${kept}`;
}

const percent = (share) => `${Math.floor(share * 100 + 1e-6)}\u00a0%`;

export function locked({ left, right }, needed) {
  const goal = `The answers open at ${percent(needed)}.`;
  if (left === 0 && right === 0) return 'Please watch the faces first: press Space to play both.';
  if (percent(left) === percent(right)) return `Not yet: you have seen ${percent(left)} of both faces. ${goal}`;
  const key =
    left >= needed ? 'Press B to play the right one.' : right >= needed ? 'Press A to play the left one.' : '';
  return `Not yet: you have seen ${percent(left)} of the left and ${percent(right)} of the right face. ${goal} ${key}`;
}

export const share = (needed) =>
  `The answers open when you have seen ${percent(needed)} of each face. The line under a face shows how far you are.`;

export const pairOf = (number, total) => `Pair ${number} of ${total}`;

export function timeLeft(seconds) {
  if (seconds === null || seconds <= 0) return '';
  if (seconds < 75) return 'about a minute left';
  if (seconds < 5400) return `about ${Math.round(seconds / 60)} minutes left`;
  return `about ${Math.round(seconds / 1800) / 2} hours left`;
}

export const resting = (done, total) => `${done} of ${total} pairs done`;

export function finished(done) {
  if (done === 0) return 'There is nothing to judge at the moment.';
  return done === 1 ? 'You have judged the only pair.' : `You have judged all ${done} pairs.`;
}

export const welcomeBack = (done, total) => `Welcome back: ${done} of ${total} pairs are done.`;
