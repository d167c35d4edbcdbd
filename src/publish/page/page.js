// The page is whole without this. It is fetched anew for each survey, and what differs takes the place of what was.
(() => {
  'use strict';
  const live = document.getElementById('live');
  let shown = document.body.dataset.version;
  let wanted = shown;
  let busy = false;

  const say = (text) => { if (live.textContent !== text) live.textContent = text; };
  const pause = (ms) => new Promise((done) => setTimeout(done, ms));

  const replace = (fresh) => {
    for (const part of document.querySelectorAll('[data-part]')) {
      const other = fresh.getElementById(part.id);
      if (other === null || part.outerHTML === other.outerHTML) continue;
      for (const name of ['hidden', 'href', 'aria-labelledby']) {
        if (other.hasAttribute(name)) part.setAttribute(name, other.getAttribute(name));
        else part.removeAttribute(name);
      }
      part.replaceChildren(...other.childNodes);
    }
    document.title = fresh.title;
    document.body.dataset.state = fresh.body.dataset.state;
  };

  const refresh = async () => {
    if (busy) return;
    busy = true;
    try {
      while (wanted !== shown) {
        const version = wanted;
        const answer = await fetch('/', { cache: 'no-store' });
        const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html');
        if (fresh.body.dataset.version === undefined) throw new Error('not the page');
        replace(fresh);
        shown = fresh.body.dataset.version;
        if (wanted === version) wanted = shown;
        await pause(200); // in a storm of surveys
      }
    } catch {
      setTimeout(refresh, 2000);
    } finally {
      busy = false;
    }
  };

  let events, lost;
  const follow = () => {
    if (document.hidden || events !== undefined) return;
    events = new EventSource('/v1/events');
    events.addEventListener('open', () => { clearTimeout(lost); lost = undefined; say('live'); });
    events.addEventListener('survey', (event) => { wanted = event.lastEventId; refresh(); });
    events.addEventListener('error', () => {
      // Streams end now and then, and the browser opens the next by itself; a refusal it takes as final.
      if (lost === undefined) lost = setTimeout(() => say('not live: the agent does not answer'), 5000);
      if (events.readyState === EventSource.CLOSED) { events = undefined; setTimeout(follow, 5000); }
    });
  };
  // Nobody looks at a hidden tab, and a browser has few connections to one server for all of its tabs.
  const rest = () => {
    clearTimeout(lost);
    lost = undefined;
    events?.close();
    events = undefined;
    say('resting');
  };
  document.addEventListener('visibilitychange', () => { if (document.hidden) rest(); else follow(); });
  follow();
})();
