// The end of theme/highlight.js: code is coloured when it comes near the window. mdBook colours all of a page at once, with
// the lines that are hidden, and a phone answers nobody for seconds.
(() => {
  const colour = hljs.highlightBlock;
  const waiting = new Set();
  const near = new IntersectionObserver(entries => {
    entries.filter(entry => entry.isIntersecting).forEach(entry => colourOnce(entry.target));
  }, { rootMargin: '1000px' });
  const colourOnce = block => {
    near.unobserve(block);
    if (waiting.delete(block)) colour(block);
  };
  hljs.highlightBlock = block => {
    // A word of code in a sentence has no language.
    if (!block.parentElement.matches('pre')) return;
    waiting.add(block);
    near.observe(block);
  };
  addEventListener('beforeprint', () => [...waiting].forEach(colourOnce));
})();
