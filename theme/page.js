'use strict';

// What mdBook's page lacks for the keyboard, for screen readers, and between chapters. The page reads well without it.

(() => {
  const byId = id => document.getElementById(id);
  const all = selector => document.querySelectorAll(selector);

  // Landmarks and names.
  byId('mdbook-menu-bar').setAttribute('role', 'banner');
  byId('mdbook-search-wrapper')?.setAttribute('role', 'search');
  byId('mdbook-searchbar')?.setAttribute('aria-label', 'Search this book');
  byId('mdbook-searchbar')?.setAttribute('aria-describedby', 'mdbook-searchresults-header');
  all('main li > input[type=checkbox]').forEach(box => box.setAttribute('aria-label', box.parentElement.textContent.trim()));
  const help = byId('mdbook-help-popup');
  help.setAttribute('role', 'dialog');
  help.setAttribute('aria-label', 'Keyboard shortcuts');

  // searcher.js names a span, which may have no name.
  const results = byId('mdbook-searchresults');
  if (results) {
    const observer = new MutationObserver(() => {
      results.querySelectorAll('.teaser').forEach(teaser => teaser.removeAttribute('aria-label'));
    });
    observer.observe(results, { childList: true });
  }

  // The markup comes from header.hbs, which stands above the menu bar and below the sidebar.
  const skipLink = document.querySelector('.skip-link');
  if (skipLink) document.body.prepend(skipLink);
  const chapterNav = document.querySelector('.chapter-nav');
  if (chapterNav) document.querySelector('main').after(chapterNav);

  // The sidebar is toggled by a label, which no keyboard reaches: a button takes its place.
  const label = byId('mdbook-sidebar-toggle');
  const checkbox = byId('mdbook-sidebar-toggle-anchor');
  const toggle = document.createElement('button');
  toggle.id = 'sidebar-button';
  toggle.type = 'button';
  toggle.className = 'icon-button';
  toggle.title = label.title;
  toggle.append(...label.childNodes);
  toggle.setAttribute('aria-label', 'Table of contents');
  toggle.setAttribute('aria-controls', 'mdbook-sidebar');
  const showState = () => toggle.setAttribute('aria-expanded', checkbox.checked);
  toggle.addEventListener('click', () => label.click());
  checkbox.addEventListener('change', showState);
  showState();
  label.hidden = true;
  label.after(toggle);

  // Where the sidebar covers the text, Escape closes it.
  document.addEventListener('keydown', event => {
    if (event.key === 'Escape' && checkbox.checked && matchMedia('(max-width: 619px)').matches) {
      label.click();
      toggle.focus();
    }
  });

  // toc.js folds the deeper headings of the sidebar with a link that leads nowhere.
  document.addEventListener('DOMContentLoaded', () => all('.header-toggle').forEach(link => {
    const fold = document.createElement('button');
    fold.type = 'button';
    fold.className = link.className;
    fold.setAttribute('aria-label', 'Deeper headings');
    fold.append(...link.childNodes);
    fold.addEventListener('click', () => link.click());
    link.replaceWith(fold);
  }));

  // What scrolls sideways can be scrolled with the keyboard.
  const scrollers = new ResizeObserver(entries => {
    for (const { target } of entries) {
      if (target.scrollWidth > target.clientWidth) {
        target.tabIndex = 0;
      } else {
        target.removeAttribute('tabindex');
      }
    }
  });
  all('main pre > code, main .table-wrapper').forEach(element => scrollers.observe(element));

  // mdBook draws this icon from a data: URL, which the policy forbids.
  const icon = byId('fa-copy')?.content;
  if (icon) all('.clip-button').forEach(button => button.append(icon.cloneNode(true)));
})();
