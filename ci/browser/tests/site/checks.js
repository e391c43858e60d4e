'use strict';

// What pages.rs and tour.rs run in a page.

// What sticks out of the page at the side. The body hides it, so that no scroll bar would tell.
globalThis.findOverflow = width => {
  const shell = document.getElementById('mdbook-page-wrapper');
  const left = shell.getBoundingClientRect().left;
  const isClipped = element => {
    for (let above = element.parentElement; above !== shell; above = above.parentElement) {
      if (getComputedStyle(above).overflowX !== 'visible') return true;
    }
    return false;
  };
  let worst = null;
  for (const element of shell.querySelectorAll('*')) {
    const box = element.getBoundingClientRect();
    const excess = Math.max(box.right - width, left - box.left);
    const isShown = box.width > 0 && box.height > 0;
    if (isShown && excess > 1 && excess > (worst?.excess ?? 0) && !isClipped(element)) {
      const { tagName, id, className } = element;
      const name = `<${tagName.toLowerCase()} id="${id}" class="${className.baseVal ?? className}">`;
      worst = { excess, name: `${name} ${element.textContent.trim().slice(0, 60)}` };
    }
  }
  if (worst) return [`${worst.name} sticks out by ${Math.round(worst.excess)} px`];
  const { scrollWidth, clientWidth } = document.scrollingElement;
  return scrollWidth > clientWidth ? [`the document is ${scrollWidth} px wide, the window ${clientWidth} px`] : [];
};

// What moves under the eyes of a reader while the page loads. The browser tells it between two frames. In the sidebar
// toc.js puts in the headings of the chapter. A page may also be shown when no more of it has arrived than the menu bar;
// whether that happens is up to the network, so it is looked at without waiting for it.
globalThis.findJumps = () => new Promise(resolve => {
  const content = document.getElementById('mdbook-content');
  const main = content.querySelector('main');
  const { top } = content.getBoundingClientRect();
  main.hidden = true;
  const before = content.getBoundingClientRect().top;
  main.hidden = false;
  if (before !== top) return resolve([`the box of the text moves by ${top - before} px when its first line arrives`]);

  const found = [];
  const shifts = new PerformanceObserver(list => found.push(...list.getEntries()));
  shifts.observe({ type: 'layout-shift', buffered: true });
  requestAnimationFrame(() => setTimeout(() => {
    found.push(...shifts.takeRecords());
    shifts.disconnect();
    const inText = ({ sources }) => sources.some(({ node }) => !node?.parentElement?.closest('#mdbook-sidebar'));
    resolve(found.filter(shift => shift.value > 0.01 && inText(shift)).map(({ value, sources }) => {
      const place = ({ x, y, width, height }) => `${[x, y, width, height].map(Math.round)}`;
      const moved = sources.map(({ node, previousRect, currentRect }) => {
        const name = `${node?.nodeName} ${node?.textContent.trim().slice(0, 60)}`;
        return `${name} (${place(previousRect)} -> ${place(currentRect)})`;
      });
      return `the page jumps by ${value.toFixed(2)} while it loads: ${moved.join(', ')}`;
    }));
  }));
});

// Opens what the page folds away, and colours all code, so that it is looked at too.
globalThis.unfold = () => {
  document.querySelectorAll('details').forEach(details => { details.open = true; });
  dispatchEvent(new Event('beforeprint'));
};

// Of the parts that are built alike, leaves the first. The others differ in their words alone, and the rules of
// accessibility take a second for a long page. The words of a part that stands in a line remain.
globalThis.thin = (withSidebar = true) => {
  const kind = element => {
    const attributes = [...element.attributes].map(({ name, value }) => {
      const isFree = /^(alt|aria-.*|d|href|id|src|tabindex|title)$/.test(name);
      return `${name}=${isFree ? value !== '' : value}`;
    });
    return `${element.tagName} ${attributes} ${element.textContent.trim() !== ''}`;
  };
  const shape = element => `${kind(element)}(${[...element.children].map(shape)})`;
  const leaveOne = (parts, drop) => {
    const seen = new Set();
    for (const part of document.querySelectorAll(parts)) {
      const name = `${kind(part.parentElement)} > ${shape(part)}`;
      if (seen.has(name)) drop(part);
      seen.add(name);
    }
  };
  document.querySelectorAll('.hide-boring .boring').forEach(line => line.remove());
  // First in the lines, so that the blocks become more alike. Headings stay: they make the outline.
  const headings = 'h1, h2, h3, h4, h5, h6';
  const inLine = `main :is(a, code, em, kbd, span, strong, sup):not(pre > code, .buttons *, :is(${headings}) *)`;
  leaveOne(inLine, part => part.replaceWith(...part.childNodes));
  leaveOne('main .buttons', part => part.remove());
  leaveOne(`main > :not(${headings}), main :is(li, p, pre, tr)`, part => part.remove());
  if (withSidebar) leaveOne('#mdbook-sidebar li', part => part.remove());
};

// Code that scrolls sideways although it has at most 80 columns.
globalThis.findNarrowCode = () => {
  const columns = line => [...line].reduce((sum, letter) => sum + (letter > '\u2e80' ? 2 : 1), 0);
  const blocks = document.querySelectorAll(':is(main, main > details) > pre > code');
  return [...blocks].flatMap(block => {
    const lines = block.innerText.split('\n');
    const widest = Math.max(...lines.map(columns));
    const scrolls = block.scrollWidth > block.clientWidth;
    return scrolls && widest <= 80 ? [`code of ${widest} columns scrolls sideways: ${lines[0]}`] : [];
  });
};

// Words in a figure that cover other words, or that are cut off at its edge.
globalThis.findOverlaps = () => {
  // The corners of what is written, turned as it is. A line is higher than its letters.
  const corners = text => {
    const { x, y, width, height } = text.getBBox();
    const matrix = text.getScreenCTM();
    const [top, bottom] = [y + height * 0.25, y + height * 0.75];
    return [[x, top], [x + width, top], [x + width, bottom], [x, bottom]]
      .map(([x, y]) => new DOMPoint(x, y).matrixTransform(matrix));
  };
  // Two convex shapes are apart if a line along one of their sides lies between them.
  const areApart = (one, other) => [one, other].some(shape => shape.some((from, index) => {
    const to = shape[(index + 1) % 4];
    const [nx, ny] = [to.y - from.y, from.x - to.x];
    const ends = points => {
      const at = points.map(({ x, y }) => x * nx + y * ny);
      return [Math.min(...at), Math.max(...at)];
    };
    const [[a, b], [c, d]] = [ends(one), ends(other)];
    return b < c || d < a;
  }));
  return [...document.querySelectorAll('figure.wire > svg')].flatMap((svg, number) => {
    const frame = svg.getBoundingClientRect();
    if (frame.width === 0) return [];
    const texts = [...svg.querySelectorAll('text')].map(text => ({ words: text.textContent, shape: corners(text) }));
    const found = texts.filter(({ shape }) => shape.some(({ x }) => x < frame.left - 1 || x > frame.right + 1))
      .map(({ words }) => `figure ${number}: "${words}" is cut off`);
    texts.forEach((one, index) => texts.slice(index + 1).forEach(other => {
      if (!areApart(one.shape, other.shape)) found.push(`figure ${number}: "${one.words}" covers "${other.words}"`);
    }));
    return found;
  });
};

// The rules of accessibility that the page breaks, one string for each, with the elements that break it.
globalThis.findBarriers = async runOnly => {
  if (!globalThis.axe) loadAxe();
  // theme/page.js learns what scrolls at the end of a frame.
  await new Promise(done => requestAnimationFrame(() => setTimeout(done)));
  const result = await axe.run(document, {
    resultTypes: ['violations'],
    // Off by default, and asked for by WCAG 2.2.
    rules: { 'target-size': { enabled: true } },
    preload: false,
    ...(runOnly && { runOnly }),
  });
  return result.violations.map(({ id, help, nodes }) => {
    const elements = nodes.map(node => `    ${node.target.join(' ')}: ${node.failureSummary.replace(/\s+/g, ' ')}`);
    return `${id}: ${help}\n${elements.slice(0, 5).join('\n')}`;
  });
};

// What the element matches, as soon as the page has it.
globalThis.appears = selector => new Promise((resolve, reject) => {
  const look = () => {
    const element = document.querySelector(selector);
    if (element) resolve(element.textContent);
    return element;
  };
  if (look()) return;
  const observer = new MutationObserver(() => look() && observer.disconnect());
  observer.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
  setTimeout(() => reject(new Error(`${selector} did not appear`)), 30000);
});

// What the policy refuses of the things that no page may do, and of the one that `cargo book serve` does.
globalThis.tryStrangeThings = async () => {
  const refused = [];
  document.addEventListener('securitypolicyviolation', event => refused.push(event.effectiveDirective));
  const script = document.createElement('script');
  script.textContent = 'globalThis.strange = true';
  document.body.append(script);
  document.body.setAttribute('style', 'color: red');
  document.body.append(Object.assign(new Image(), { src: 'data:image/gif;base64,R0lGODlhAQABAAAAACw=' }));
  await fetch('http://localhost:9/').catch(() => {});
  await new Promise(done => {
    const socket = new WebSocket(`ws://${location.host}/__livereload`);
    socket.onopen = socket.onerror = done;
  });
  return refused.sort().join(' ') + (globalThis.strange ? ', and the script ran' : '');
};
