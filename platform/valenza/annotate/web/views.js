// One part of the page at a time, and the places where it says something.

export const byId = (id) => document.getElementById(id);

/** Show one view and move the focus to its heading, so that a screen reader says where one is. */
export function show(name) {
  document.body.dataset.view = name;
  for (const view of document.querySelectorAll('[data-for]')) view.hidden = view.dataset.for !== name;
  document.querySelector(`[data-for="${name}"] h1`)?.focus({ preventScroll: true });
  window.scrollTo(0, 0);
}

const pending = new Map();

/** Write text where it is read out; an equal text is read out again, because it appears anew. */
export function say(id, text) {
  cancelAnimationFrame(pending.get(id));
  const place = byId(id);
  place.textContent = '';
  if (text)
    pending.set(
      id,
      requestAnimationFrame(() => (place.textContent = text)),
    );
}

/** Show a message instead of everything else; returns when its button is pressed, which by default loads the page again. */
export function message({ title, text, button = 'Load the page again' }) {
  byId('message-title').textContent = title;
  byId('message-text').textContent = text;
  byId('message-button').textContent = button;
  show('message');
  return pressed('message-button');
}

/** Returns when one of these buttons is pressed, and tells which. */
export function pressed(...ids) {
  return new Promise((resolve) => {
    for (const id of ids) byId(id).onclick = () => resolve(id);
  });
}

let vanishing = 0;

/** Show or hide what is said above everything: that the server is away, or that it is back. */
export function notice(text, { retry = false, seconds = 0 } = {}) {
  const bar = byId('notice');
  byId('notice-text').textContent = text ?? '';
  byId('notice-retry').hidden = !retry;
  bar.dataset.kind = retry ? 'away' : 'back';
  bar.hidden = !text;
  clearTimeout(vanishing);
  if (seconds) vanishing = setTimeout(() => (bar.hidden = true), 1000 * seconds);
}
