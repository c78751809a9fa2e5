'use strict';
// The page is whole without this script. It adds: choosing a ring, reading
// values out of charts by pointer and by keyboard, hiding series, tables of
// what charts show. It only ever sets text, never markup.

const element = (name, text) => {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  return made;
};

// Rings.
const sections = [...document.querySelectorAll('section[data-ring]')];
const links = [...document.querySelectorAll('a[data-shows]')];
const showAll = document.getElementById('all-rings');
const show = (id) => {
  for (const section of sections) section.hidden = id !== null && section.id !== id;
  for (const link of links) {
    const row = link.closest('tr');
    if (link.dataset.shows === id) row.setAttribute('aria-current', 'true');
    else row.removeAttribute('aria-current');
  }
  if (showAll) showAll.hidden = id === null;
};
const fromAddress = () => {
  const wanted = decodeURIComponent(location.hash.slice(1));
  if (sections.some((section) => section.id === wanted)) show(wanted);
};
if (sections.length > 1) {
  show(sections[0].id);
  fromAddress();
  addEventListener('hashchange', fromAddress);
  for (const link of links) link.addEventListener('click', () => show(link.dataset.shows));
  showAll.addEventListener('click', () => show(null));
}

// Charts.
const SVG = 'http://www.w3.org/2000/svg';
for (const figure of document.querySelectorAll('figure.chart')) {
  const data = JSON.parse(figure.querySelector('script').textContent);
  const drawing = figure.querySelector('.scroll > svg');
  const readout = figure.querySelector('.readout');
  if (data.x.length === 0) continue;

  const cursor = document.createElementNS(SVG, 'line');
  cursor.setAttribute('class', 'cursor');
  cursor.setAttribute('y1', drawing.dataset.top);
  cursor.setAttribute('y2', drawing.dataset.bottom);
  cursor.setAttribute('visibility', 'hidden');
  drawing.append(cursor);
  const hint = 'Point at the chart, or focus it and use the arrow keys, to read values.';
  readout.hidden = false;
  readout.textContent = hint;
  let place = -1;
  drawing.setAttribute('role', 'slider');
  drawing.setAttribute('tabindex', '0');
  drawing.setAttribute('aria-valuemin', '0');
  drawing.setAttribute('aria-valuemax', String(data.x.length - 1));
  drawing.setAttribute('aria-valuenow', '0');
  drawing.setAttribute('aria-valuetext', 'use the arrow keys to read values');

  const read = (to) => {
    place = Math.max(0, Math.min(data.x.length - 1, to));
    cursor.setAttribute('visibility', 'visible');
    cursor.setAttribute('x1', data.x[place]);
    cursor.setAttribute('x2', data.x[place]);
    const parts = [element('b', `${data.axis} ${data.at[place]}`)];
    data.names.forEach((name, index) => {
      const value = data.values[place][index];
      if (value !== '–') parts.push(element('i', name), value);
    });
    readout.textContent = '';
    const first = element('span');
    first.append(parts.shift());
    readout.append(first);
    for (let index = 0; index < parts.length; index += 2) {
      const pair = element('span');
      pair.append(parts[index], ' ', parts[index + 1]);
      readout.append(pair, ' ');
    }
    drawing.setAttribute('aria-valuenow', String(place));
    drawing.setAttribute('aria-valuetext', readout.textContent);
  };
  const nearest = (x) => {
    let low = 0;
    let high = data.x.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (data.x[middle] < x) low = middle + 1;
      else high = middle;
    }
    return low > 0 && x - data.x[low - 1] < data.x[low] - x ? low - 1 : low;
  };
  drawing.addEventListener('pointermove', (event) => {
    const box = drawing.getBoundingClientRect();
    if (box.width > 0) read(nearest(((event.clientX - box.left) / box.width) * 960));
  });
  drawing.addEventListener('keydown', (event) => {
    const page = Math.ceil(data.x.length / 10);
    const moves = {
      ArrowRight: place + 1, ArrowUp: place + 1, ArrowLeft: place - 1, ArrowDown: place - 1,
      PageUp: place + page, PageDown: place - page, Home: 0, End: data.x.length - 1,
    };
    if (event.key in moves) {
      event.preventDefault();
      read(moves[event.key]);
    } else if (event.key === 'Escape') {
      place = -1;
      cursor.setAttribute('visibility', 'hidden');
      readout.textContent = hint;
    }
  });

  for (const key of figure.querySelectorAll('.key')) {
    key.addEventListener('click', () => {
      const shown = key.getAttribute('aria-pressed') === 'true';
      key.setAttribute('aria-pressed', String(!shown));
      const series = drawing.querySelector(`g[data-series="${key.dataset.series}"]`);
      series.setAttribute('visibility', shown ? 'hidden' : 'visible');
    });
  }

  const values = figure.querySelector('.values');
  values.hidden = false;
  values.addEventListener('toggle', () => {
    if (!values.open || values.querySelector('table')) return;
    const table = element('table');
    const heads = element('tr');
    for (const name of [data.axis, ...data.names]) {
      const head = element('th', name);
      head.scope = 'col';
      heads.append(head);
    }
    const head = element('thead');
    head.append(heads);
    const body = element('tbody');
    data.x.forEach((_, index) => {
      const row = element('tr');
      const at = element('th', data.at[index]);
      at.scope = 'row';
      row.append(at, ...data.values[index].map((value) => element('td', value)));
      body.append(row);
    });
    table.append(head, body);
    const scroll = element('div');
    scroll.className = 'scroll';
    scroll.tabIndex = 0;
    scroll.setAttribute('role', 'region');
    scroll.setAttribute('aria-label', 'Values of the chart');
    scroll.append(table);
    values.append(scroll);
  });
}
