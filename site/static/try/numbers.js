/* The library's arithmetic, number for number: what `dualad_lib` does with NumPy, PyTorch and Pillow, in plain JavaScript.
   A browser test holds the two against each other (tests/test_try_page.py). */
"use strict";

/* The Mersenne twister as PyTorch seeds and reads it: the draws of torch.randperm, torch.randn and torch.randint. */
class Generator {
  constructor(seed) {
    this.state = new Uint32Array(624);
    this.state[0] = seed;
    for (let i = 1; i < 624; i++) {
      const last = this.state[i - 1] ^ (this.state[i - 1] >>> 30);
      this.state[i] = Math.imul(1812433253, last) + i;
    }
    this.next = 624;
  }

  integer() {
    const s = this.state;
    if (this.next === 624) {
      for (let k = 0; k < 624; k++) {
        const y = (s[k] & 0x80000000) | (s[(k + 1) % 624] & 0x7fffffff);
        s[k] = s[(k + 397) % 624] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
      }
      this.next = 0;
    }
    let y = s[this.next++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  permutation(n) {
    const order = Uint32Array.from({ length: n }, (_, i) => i);
    for (let i = 0; i < n - 1; i++) {
      const other = i + (this.integer() % (n - i));
      [order[i], order[other]] = [order[other], order[i]];
    }
    return order;
  }

  /* n normal numbers, n a multiple of 16: uniform ones first, then Box and Muller's pairs, eight apart. */
  normal(n) {
    const found = Float32Array.from({ length: n }, () => (this.integer() & 0xffffff) / 2 ** 24);
    for (let start = 0; start < n; start += 16) {
      for (let i = start; i < start + 8; i++) {
        const radius = Math.sqrt(-2 * Math.log(1 - found[i]));
        const angle = 2 * Math.PI * found[i + 8];
        found[i] = radius * Math.cos(angle);
        found[i + 8] = radius * Math.sin(angle);
      }
    }
    return found;
  }
}

/* Round half to even, as Python does. */
function round(x) {
  const down = Math.floor(x);
  return x - down === 0.5 ? down + (down % 2) : Math.round(x);
}

/* [height, width] of a frame for photographs of these [height, width]s: their median aspect ratio
   (dualad_lib.data.folders). */
function frameOf(shapes, longer) {
  const ratios = shapes.map(([height, width]) => width / height).sort((a, b) => a - b);
  const middle = ratios.length >> 1;
  const ratio = ratios.length % 2 ? ratios[middle] : (ratios[middle - 1] + ratios[middle]) / 2;
  const exact = longer * Math.min(ratio, 1 / ratio);
  const shorter = longer - exact < 4 ? longer : Math.max(32, 8 * round(exact / 8));
  return ratio > 1 ? [shorter, longer] : [longer, shorter];
}

/* Pillow's coefficients of the bilinear filter, antialiased where the image shrinks, as whole numbers of 2^-22. */
function coefficients(from, to) {
  const scale = from / to;
  const wide = Math.max(scale, 1);
  return Array.from({ length: to }, (_, i) => {
    const centre = (i + 0.5) * scale;
    const low = Math.max(0, Math.trunc(centre - wide + 0.5));
    const high = Math.min(from, Math.trunc(centre + wide + 0.5));
    const weights = [];
    for (let x = low; x < high; x++) weights.push(Math.max(0, 1 - Math.abs((x - centre + 0.5) / wide)));
    const sum = weights.reduce((a, b) => a + b, 0);
    return { low, weights: Int32Array.from(weights, (w) => Math.trunc(0.5 + (w / sum) * 2 ** 22)) };
  });
}

/* One pass of Pillow's resize over RGBA bytes: `count` lines of `from` pixels, `step` apart, become lines of `to`. */
function pass(pixels, from, to, count, step, line, toStep, toLine) {
  if (from === to) return pixels;
  const found = new Uint8ClampedArray(4 * to * count);
  coefficients(from, to).forEach(({ low, weights }, i) => {
    for (let k = 0; k < count; k++) {
      for (let c = 0; c < 3; c++) {
        let sum = 1 << 21;
        let place = 4 * (k * line + low * step) + c;
        for (let j = 0; j < weights.length; j++, place += 4 * step) sum += pixels[place] * weights[j];
        found[4 * (k * toLine + i * toStep) + c] = sum >> 22;
      }
      found[4 * (k * toLine + i * toStep) + 3] = 255;
    }
  });
  return found;
}

/* RGBA bytes of [height, width] resized as Pillow's Image.resize(..., BILINEAR) does: first the rows, then the columns.
   (Pillow 13 turns this round for very tall pictures, and where the height shrinks far more: a grey level apart.) */
function resized(pixels, [height, width], [newHeight, newWidth]) {
  const wide = pass(pixels, width, newWidth, height, 1, width, 1, newWidth);
  return pass(wide, height, newHeight, newWidth, newWidth, 1, newWidth, 1);
}

/* Which of n photographs teach and which are held back to set the threshold: a seeded tenth
   (dualad_lib.detectors.base.hold_back). */
function holdBack(n, seed = 0) {
  const order = new Generator(seed).permutation(n);
  const held = Math.max(1, round(0.1 * n));
  const sorted = (part) => [...part].sort((a, b) => a - b);
  return { learn: sorted(order.subarray(held)), held: sorted(order.subarray(0, held)) };
}

/* Indices of `count` of the vectors (rows of `width` numbers) that cover all others: each next one is the farthest from
   those chosen, in a random projection (dualad_lib.neighbours.greedy_coreset). `tell(share)` hears how far it is.

   A vector nearer to its own centre than half of what lies between that centre and the new one cannot be nearer to the
   new one: it is passed over. That changes no choice, and saves most of the work. */
function greedyCoreset(vectors, width, count, seed, projection, tell) {
  const n = vectors.length / width;
  const generator = new Generator(seed);
  let x = vectors;
  if (width > projection) {
    const matrix = generator.normal(width * projection).map((value) => value / Math.sqrt(projection));
    x = new Float32Array(n * projection);
    const row = new Float64Array(projection);
    for (let i = 0; i < n; i++) {
      row.fill(0);
      for (let j = 0; j < width; j++) {
        const value = vectors[i * width + j];
        for (let k = 0; k < projection; k++) row[k] += value * matrix[j * projection + k];
      }
      x.set(row, i * projection);
      if (i % 5000 === 0) tell((0.2 * i) / n);
    }
    width = projection;
  }
  const apart = (a, b) => {
    let sum = 0;
    for (let i = a * width, j = b * width, end = i + width; i < end; i++, j++) sum += (x[i] - x[j]) ** 2;
    return sum;
  };
  const chosen = [generator.integer() % n];
  const least = new Float64Array(n).fill(Infinity);
  const owner = new Uint32Array(n);
  while (chosen.length < count) {
    const last = chosen.at(-1);
    const between = chosen.map((other) => apart(other, last) / 4);
    let farthest = 0;
    for (let i = 0; i < n; i++) {
      if (least[i] > between[owner[i]]) {
        const distance = apart(i, last);
        if (distance < least[i]) {
          least[i] = distance;
          owner[i] = chosen.length - 1;
        }
      }
      if (least[i] > least[farthest]) farthest = i;
    }
    chosen.push(farthest);
    if (chosen.length % 10 === 0) tell(0.2 + (0.8 * chosen.length) / count);
  }
  return chosen;
}

/* Mean of the highest hundredth of a map, at least one place (dualad_lib.detectors.features.top_mean). */
function topMean(map) {
  const count = Math.max(1, round(0.01 * map.length));
  return Float32Array.from(map).sort().subarray(-count).reduce((a, b) => a + b, 0) / count;
}

/* The threshold for a false-alarm rate, and the rate that so few held-out photographs can really promise
   (dualad_lib.scoring.threshold_at). */
function thresholdAt(held, rate) {
  const rank = Math.ceil((held.length + 1) * (1 - rate));
  const sorted = [...held].sort((a, b) => a - b);
  const promise = Math.max(rate, 1 / (held.length + 1));
  return { threshold: sorted[Math.min(rank, held.length) - 1], promise };
}

/* Conformal p-value: the share of normal photographs that score as high (dualad_lib.scoring.conformal_p_values). */
function pValue(held, score) {
  return (1 + held.filter((other) => other >= score).length) / (held.length + 1);
}

/* A map (rows of `width`) brought to another size, bilinear, corners not aligned, as torch's interpolate does. */
function enlarged(map, [height, width], [newHeight, newWidth]) {
  const along = (from, to) =>
    Array.from({ length: to }, (_, i) => {
      const place = Math.max(0, ((i + 0.5) * from) / to - 0.5);
      const low = Math.min(Math.floor(place), from - 1);
      return [low, Math.min(low + 1, from - 1), place - low];
    });
  const columns = along(width, newWidth);
  const found = new Float32Array(newHeight * newWidth);
  along(height, newHeight).forEach(([top, bottom, down], y) => {
    columns.forEach(([left, right, across], x) => {
      const at = (row, column) => map[row * width + column];
      const above = at(top, left) * (1 - across) + at(top, right) * across;
      const below = at(bottom, left) * (1 - across) + at(bottom, right) * across;
      found[y * newWidth + x] = above * (1 - down) + below * down;
    });
  });
  return found;
}

globalThis.numbers = { Generator, round, frameOf, resized, holdBack, greedyCoreset, topMean, thresholdAt, pValue, enlarged };
