// The keyboard: names of keys that hold on every layout, and which of them do what at the moment.

const CODES = { Digit0: '0', Digit1: '1', Digit2: '2', Numpad0: '0', Numpad1: '1', Numpad2: '2', Space: 'space' };
const ARROWS = { ArrowLeft: 'left', ArrowRight: 'right', ArrowDown: 'down' };

/** The name of a pressed key: "space", "a", "1", "left", "shift+left", "?". */
export function nameOf(event) {
  if (event.key === '?') return '?';
  const arrow = ARROWS[event.key];
  if (arrow) return event.shiftKey ? `shift+${arrow}` : arrow;
  if (event.code in CODES) return CODES[event.code]; // where digits want Shift, as on French keyboards
  if (/^[a-z]$/i.test(event.key)) return event.key.toLowerCase();
  return /^Key[A-Z]$/.test(event.code) ? event.code.slice(3).toLowerCase() : event.key.toLowerCase(); // Cyrillic, Greek
}

let current = {};

/** From now on these keys do these things; all others are the browser's. */
export function use(actions) {
  current = actions;
}

document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
  const name = nameOf(event);
  const action = current[name];
  if (!action) return;
  // Space and Enter on a focused button press that button, as everywhere.
  if (name === 'space' && event.target instanceof Element && event.target.closest('button, input, a, summary')) return;
  event.preventDefault();
  if (!event.repeat) action();
});
