// The live timeline: shares as areas that add up to the whole height, over the last half minute.

const SPAN = 30; // seconds on the picture at most
const LEAST = 10; // and at its beginning
const MARGIN = 1.06; // of the picture's width over what is heard of it
const KEPT = 4; // seconds that are kept beyond its left edge
const AXIS = 22; // CSS pixels below the areas
const TICK = 5; // seconds

export class Timeline {
  #canvas;
  #pen;
  #colours = [];
  #moments = [];
  #drawn = '';

  constructor(canvas) {
    this.#canvas = canvas;
    this.#pen = canvas.getContext('2d');
    new ResizeObserver(() => this.#resize()).observe(canvas);
  }

  /** Begin anew, with one colour for each class. */
  clear(colours) {
    this.#colours = colours;
    this.#moments = [];
    this.#canvas.dataset.moments = '0';
    this.draw(0);
  }

  add(moment) {
    this.#moments.push(moment);
    const kept = moment.time - SPAN - KEPT;
    while (this.#moments[0].time < kept) this.#moments.shift();
    this.#canvas.dataset.moments = String(Number(this.#canvas.dataset.moments) + 1);
  }

  /** Show the picture with this many seconds heard so far. */
  draw(now) {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    const key = `${now.toFixed(2)} ${this.#moments.length} ${width} ${height}`;
    if (!width || key === this.#drawn) return;
    this.#drawn = key;
    const pen = this.#pen;
    const span = Math.min(SPAN, Math.max(LEAST, now * MARGIN));
    const start = Math.max(0, now - SPAN / MARGIN);
    const x = (time) => ((time - start) / span) * width;
    pen.setTransform(window.devicePixelRatio, 0, 0, window.devicePixelRatio, 0, 0);
    pen.clearRect(0, 0, width, height);
    this.#areas(x, height - AXIS);
    this.#marks(x, start, start + span, now, width, height - AXIS);
  }

  #areas(x, height) {
    const moments = this.#moments;
    if (!moments.length) return;
    const below = new Float64Array(moments.length);
    this.#colours.forEach((colour, place) => {
      const path = new Path2D();
      // The first moment is held back to the beginning of the recording, as every reader of a timeline holds it.
      const times = moments.map((moment, k) => (k || moment.time > 1 ? moment.time : 0));
      moments.forEach((moment, k) => path.lineTo(x(times[k]), height * (1 - below[k] - moment.mixture[place])));
      for (let k = moments.length - 1; k >= 0; k -= 1) path.lineTo(x(times[k]), height * (1 - below[k]));
      path.closePath();
      this.#pen.fillStyle = colour;
      this.#pen.fill(path);
      moments.forEach((moment, k) => { below[k] += moment.mixture[place]; });
    });
  }

  #marks(x, start, end, now, width, height) {
    const pen = this.#pen;
    const style = getComputedStyle(this.#canvas);
    const [ink, line] = ['--soft', '--line'].map((name) => style.getPropertyValue(name));
    pen.font = `12px ${style.fontFamily}`;
    pen.fillStyle = ink;
    pen.strokeStyle = line;
    pen.lineWidth = 1;
    pen.strokeRect(0.5, height + 0.5, width, 0);
    for (let tick = Math.ceil(start / TICK) * TICK; tick <= end; tick += TICK) {
      const at = x(tick);
      pen.fillRect(at, height, 1, 4);
      pen.textAlign = at < 14 ? 'left' : at > width - 18 ? 'right' : 'center';
      pen.fillText(`${tick} s`, at, height + 17);
    }
    if (now > 0) {
      pen.strokeStyle = ink;
      pen.setLineDash([3, 3]);
      pen.strokeRect(Math.min(x(now), width - 1), 0, 0, height);
      pen.setLineDash([]);
    }
  }

  #resize() {
    const { clientWidth, clientHeight } = this.#canvas;
    this.#canvas.width = Math.round(clientWidth * window.devicePixelRatio);
    this.#canvas.height = Math.round(clientHeight * window.devicePixelRatio);
    const now = Number(this.#drawn.split(' ')[0]) || 0;
    this.#drawn = '';
    this.draw(now);
  }
}
