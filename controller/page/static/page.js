// What the page does by itself: ages that go on, choices, dialogs, charts, and saying when it is cut off.
"use strict";
(() => {
  const root = document.documentElement, body = document.body, language = root.lang;
  const BEATS_LOST = 6000;
  let ahead = 0; // of the station's clock, in ms
  let heard = performance.now();
  const now = () => Date.now() + ahead;
  const all = (query, inside = document) => inside.querySelectorAll(query);
  const one = (query) => document.querySelector(query);

  // Ages and times that are left, in the unit that says it shortest; units are the same in every language.
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const span = (seconds) => {
    const [unit, size] = units.find(([, size]) => seconds >= 2 * size) || units[3];
    return `${Math.max(0, Math.round(seconds / size))}\u202f${unit}`;
  };
  const left = (seconds) => {
    const whole = Math.max(0, Math.round(seconds)), two = (n) => String(n).padStart(2, "0");
    if (whole >= 172800) return span(whole);
    return whole >= 3600 ? `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}` : `${Math.floor(whole / 60)}:${two(whole % 60)}`;
  };
  const tick = () => {
    for (const each of all("time[data-age], time[data-ago], time[data-left]")) {
      const at = Date.parse(each.dateTime);
      if (Number.isNaN(at)) continue;
      const age = (now() - at) / 1000;
      const text = "left" in each.dataset ? left(-age) : "ago" in each.dataset ? root.dataset.ago.replace("{}", span(age)) : span(age);
      if (each.textContent !== text) each.textContent = text;
    }
  };

  // Choices: kept in a cookie, so that the next page is made with them.
  const keep = (name, value) => { document.cookie = `pv_${name}=${value}; path=/; max-age=31536000; SameSite=Strict`; };
  const press = () => {
    for (const each of all("[data-set]")) each.setAttribute("aria-pressed", String((root.dataset[each.dataset.set] || "") === each.dataset.value));
  };
  const arrange = () => {
    const tiles = one("#tiles");
    if (!tiles) return;
    const items = [...tiles.children];
    items.forEach((each, at) => { each.place ??= at; });
    const first = root.dataset.order === "trouble";
    const rank = (each) => first ? (each.classList.contains("trouble") ? 0 : each.classList.contains("v-NG") ? 1 : 2) : 0;
    const wanted = [...items].sort((a, b) => rank(a) - rank(b) || a.place - b.place);
    if (wanted.some((each, at) => each !== items[at])) {
      const focused = document.activeElement;
      tiles.append(...wanted);
      if (tiles.contains(focused)) focused.focus({preventScroll: true});
    }
    const shown = root.dataset.filter || "all";
    const nothing = one("#nothing");
    if (nothing) nothing.hidden = shown === "all" || Boolean(tiles.querySelector(`.tile.${shown}`));
  };
  document.addEventListener("click", (event) => {
    const chosen = event.target.closest("[data-set]");
    if (chosen) {
      const {set, value} = chosen.dataset;
      if (value) root.dataset[set] = value; else delete root.dataset[set];
      keep(set, value);
      press();
      arrange();
    }
    if (event.target.closest("[data-close]")) one("#dialog").close();
    for (const menu of all("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
  });

  // Cut off: no sign of life. What is shown is marked as old until there is one again.
  const cut = (since) => {
    const shown = one("#cut");
    if (!shown || "cut" in root.dataset) return;
    root.dataset.cut = "";
    one("#cut-since").textContent = new Intl.DateTimeFormat(language, {timeStyle: "medium", hourCycle: "h23"}).format(since);
    shown.hidden = false;
  };
  const alive = (told) => {
    heard = performance.now();
    ahead = told.now * 1000 - Date.now();
    if (told.asOf) one("#as-of").dateTime = new Date(told.asOf * 1000).toISOString();
    if ("cut" in root.dataset) { delete root.dataset.cut; one("#cut").hidden = true; }
    tick();
  };
  let silent = 0;
  const watch = async () => {
    tick();
    const missing = performance.now() - heard;
    if (!one("#live") || missing < BEATS_LOST) return;
    cut(new Date(Date.now() - missing));
    if (++silent % 5) return;
    try { // is it the session that ended?
      const answer = await fetch(body.dataset.renew, {redirect: "manual"});
      if (answer.status === 401 || answer.type === "opaqueredirect") location.assign(body.dataset.login + "?refused=ended");
    } catch { /* still cut off */ }
  };

  // Lines: uPlot is loaded when there is something to draw.
  let plotting;
  const plot = () => plotting ||= new Promise((done, failed) => {
    const style = Object.assign(document.createElement("link"), {rel: "stylesheet", href: body.dataset.plotStyle});
    const script = Object.assign(document.createElement("script"), {src: body.dataset.plot, onload: done, onerror: failed});
    document.head.append(style, script);
  });
  const ink = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const draw = async (figure) => {
    const answer = await fetch(figure.dataset.series);
    if (!answer.ok) return;
    const {versions} = await answer.json();
    const drawn = versions.filter((each) => each.role !== "other" && each.points.length);
    if (!drawn.length) { figure.textContent = figure.dataset.none; return; }
    await plot();
    const moments = [...new Set(drawn.flatMap((each) => each.points.map((point) => point[0])))].sort((a, b) => a - b);
    const line = (each, value) => { const at = new Map(each.points.map((point) => [point[0], value(point)])); return moments.map((moment) => at.get(moment) ?? null); };
    const hues = {stable: ink("--soft"), canary: ink("--accent")};
    const rem = parseFloat(getComputedStyle(root).fontSize);
    const chart = (title, value, show, legend) => {
      const clock = (step) => new Intl.DateTimeFormat(language, {hour: "2-digit", minute: "2-digit", hourCycle: "h23", second: step < 60 ? "2-digit" : undefined});
      const axis = {stroke: ink("--ink"), grid: {stroke: ink("--line"), width: 1}, font: `${rem * 0.85}px system-ui`};
      const options = {
        width: figure.clientWidth, height: rem * 9, title, cursor: {show: false}, legend: {show: legend, live: false},
        // A minute at least: around one moment alone uPlot would show years.
        scales: {x: {range: ({data: [at]}) => [Math.min(at[0], at.at(-1) - 60), at.at(-1)]}, y: {range: (_, low, high) => [0, Math.max(high || 0, 0.01) * 1.1]}},
        axes: [{...axis, space: rem * 5, values: (_, ticks, axis, space, step) => ticks.map((tick) => clock(step).format(tick * 1000))}, {...axis, size: rem * 3.6, values: (_, ticks) => ticks.map(show)}],
        series: [{}, ...drawn.map((each) => ({
          label: `${each.version} ${figure.dataset[each.role] || ""}`, stroke: hues[each.role] || ink("--line"), width: each.role === "canary" ? 3 : 2,
          dash: each.role === "canary" ? [] : [8, 5], spanGaps: true, points: {show: false},
        }))],
      };
      return [options, [moments, ...drawn.map((each) => line(each, value))]];
    };
    const share = new Intl.NumberFormat(language, {style: "percent", maximumSignificantDigits: 2});
    const number = new Intl.NumberFormat(language, {maximumSignificantDigits: 3});
    const pair = [
      chart(figure.dataset.errors, (point) => point[1] ? (point[2] + point[3]) / point[1] : null, (tick) => share.format(tick), false),
      chart(figure.dataset.latency, (point) => point[5], (tick) => number.format(tick), true),
    ];
    const key = drawn.map((each) => each.version + each.role).join() + figure.clientWidth + root.dataset.theme;
    if (figure.key === key) figure.plots.forEach((each, at) => each.setData(pair[at][1]));
    else {
      figure.replaceChildren();
      figure.plots = pair.map(([options, data]) => new uPlot(options, data, figure));
      figure.key = key;
    }
  };
  const lines = () => { if (!document.hidden) for (const each of all("[data-series]")) draw(each).catch(() => {}); };

  // What morphing leaves alone: what a viewer has opened, and what was drawn here.
  if (window.Idiomorph) {
    const calls = Idiomorph.defaults.callbacks;
    calls.beforeNodeMorphed = (old) => !(old.nodeType === 1 && old.hasAttribute("data-keep"));
    calls.beforeAttributeUpdated = (name, node) => !(name === "open" && node.localName === "details");
  }
  document.addEventListener("htmx:sseOpen", (event) => {
    const {source} = event.detail;
    if (source.watched) return;
    source.watched = true;
    source.addEventListener("beat", (beat) => alive(JSON.parse(beat.data)));
  });
  document.addEventListener("htmx:sseMessage", () => { arrange(); tick(); });
  // Logs begin at their newest line, and stay there while they grow, unless somebody has scrolled away from it.
  const toTheEnd = () => { for (const each of all(".log")) if (!each.away) each.scrollTop = each.scrollHeight; };
  document.addEventListener("scroll", ({target}) => {
    if (target.classList?.contains("log")) target.away = target.scrollHeight - target.scrollTop - target.clientHeight > 40;
  }, true);
  toTheEnd();
  document.addEventListener("htmx:afterSwap", (event) => {
    toTheEnd();
    const dialog = one("#dialog");
    if (event.detail.target !== dialog || !dialog.firstElementChild) return;
    if (!dialog.open) dialog.showModal();
    (dialog.querySelector("[autofocus]") || dialog).focus();
  });
  // A picture that did not come is asked for again: at a slow line its part is the last one for minutes.
  document.addEventListener("error", ({target}) => {
    if (!target.matches?.(".picture img")) return;
    target.waits = (target.waits || 500) * 2;
    if (target.waits < 60000) setTimeout(() => { target.src = target.src; }, target.waits);
  }, true);
  const unanswered = () => { for (const each of all("#dialog [data-unanswered]")) each.hidden = false; };
  document.addEventListener("htmx:sendError", unanswered);
  document.addEventListener("htmx:beforeSwap", (event) => {
    const {xhr} = event.detail;
    if (!xhr) return;
    if (new URL(xhr.responseURL, location).pathname === body.dataset.login) { location.assign(xhr.responseURL); event.detail.shouldSwap = false; }
    else if (!(xhr.getResponseHeader("content-type") || "").startsWith("text/html")) { event.detail.shouldSwap = false; unanswered(); }
  });
  document.addEventListener("submit", async (event) => {
    if (!event.target.matches("[data-logout]")) return;
    event.preventDefault();
    await fetch(event.target.action, {method: "POST", redirect: "manual", headers: {[body.dataset.csrfHeader]: body.dataset.csrf}}).catch(() => {});
    location.assign(body.dataset.login);
  });

  press();
  arrange();
  tick();
  setInterval(watch, 1000);
  if (one("#live")) {
    setTimeout(lines, 300);
    setInterval(lines, 5000);
    setInterval(() => fetch(body.dataset.renew).catch(() => {}), 1800000);
  }
})();
