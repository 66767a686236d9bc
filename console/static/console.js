// What the pages cannot do without a script: live updates, shortcuts, and copying. Every page works without it.
"use strict";
(() => {
  const body = document.body, main = document.getElementById("main"), home = body.dataset.home;
  body.classList.add("scripted");

  // The time zone of the browser, for the first sign-in.
  const zone = document.querySelector("input[data-zone]"), issuer = document.querySelector("a[data-zone]");
  if (zone) zone.value = Intl.DateTimeFormat().resolvedOptions().timeZone || "";
  if (issuer) {
    const start = new URL(issuer.href);
    start.searchParams.set("zone", zone.value);
    issuer.href = start;
  }

  // Live updates. A page has one stream, or reads itself by the clock. It is read again at most once a second. A region is replaced
  // only if no hand is on it: otherwise, and in lists, a button offers the change.
  const live = main.dataset.live, state = document.getElementById("live-state");
  const region = () => document.getElementById("live");
  let stream, timer, due = 0, forced = false, read = Date.now(), changes = new Set();

  function say(text) {
    if (state && state.textContent !== text) state.textContent = text;
    body.classList.toggle("live", text === " · live");
  }
  function clock() { return new Date().toTimeString().slice(0, 8); }
  // A hand is on a part that has the focus, a selection, something typed, or the pointer. In a steady part, where nothing moves when it
  // is replaced, the pointer counts only on what can be clicked, and the focus returns to what has an id.
  function busy(at) {
    const steady = at.dataset.region === "steady", focus = document.activeElement;
    const pointer = at.id === "live" && !steady && at.matches(":hover");
    return pointer || at.querySelector("a:hover, button:hover") || at.contains(focus) && !(steady && focus.id) ||
      String(getSelection()).length > 0 ||
      [...at.querySelectorAll("input, textarea")].some((e) => e.type !== "hidden" && e.value !== e.defaultValue);
  }
  function offer(at) {
    let note = document.getElementById("changed");
    if (!note) {
      note = document.createElement("p");
      note.id = "changed";
      note.className = "changed";
      note.setAttribute("role", "status");
      const button = document.createElement("button");
      button.type = "button";
      button.addEventListener("click", () => refresh(true));
      note.append(button);
      at.before(note);
    }
    note.firstChild.textContent = (changes.size > 0 ? changes.size + " changed" : "Changed") + " · Show";
  }
  function schedule(wait) {
    clearTimeout(timer);
    timer = setTimeout(() => refresh(false), Math.max(wait, read + 1000 - Date.now()));
  }
  function refresh(asked) {
    const at = region();
    if (!at || document.hidden) { due = 1; return; }
    if (!asked && (at.dataset.region === "list" || busy(at))) { offer(at); return; }
    read = Date.now();
    forced = asked;
    changes.clear();
    const others = [...document.querySelectorAll("[data-oob]")].map((e) => "#" + e.id).join(",");
    htmx.ajax("GET", location.href, {
      source: at, target: at, swap: "outerHTML", select: "#live", headers: { "X-Live": "1" }, selectOOB: others || undefined,
    }).then(() => document.getElementById("changed")?.remove());
  }
  // A part with a version is replaced only by another version, and not under a hand: then a button offers the change.
  document.addEventListener("htmx:oobBeforeSwap", (e) => {
    const now = e.detail.target, next = e.detail.fragment.firstElementChild;
    if (!now.dataset.version || forced && now.dataset.version !== next.dataset.version) return;
    if (now.dataset.version === next.dataset.version) e.detail.shouldSwap = false;
    else if (busy(now)) { e.detail.shouldSwap = false; setTimeout(() => offer(region()), 0); }
  });
  // What a person has unfolded stays unfolded.
  let unfolded = [];
  document.addEventListener("htmx:beforeSwap", () => { unfolded = [...document.querySelectorAll("details[id][open]")].map((e) => e.id); });
  document.addEventListener("htmx:afterSwap", () => {
    for (const id of unfolded) document.getElementById(id)?.setAttribute("open", "");
  });

  function open() {
    if (live !== "events" || stream || document.hidden) return;
    const about = main.dataset.order ? "?order_id=" + encodeURIComponent(main.dataset.order) : "";
    stream = new EventSource(home + "live" + about);
    stream.onopen = () => say(" · live");
    stream.addEventListener("changed", (e) => {
      const about = JSON.parse(e.data);
      if (about.order || about.account) changes.add(about.order || about.account);
      schedule(0);
    });
    stream.onerror = () => {
      say(" · not live since " + clock());
      if (stream.readyState === EventSource.CLOSED) { stream = undefined; setTimeout(open, 30000); }
    };
  }
  function close() {
    stream?.close();
    stream = undefined;
  }
  if (live) {
    // A running order polls, because its steps are no events; a page whose stream is closed polls too.
    setInterval(() => {
      const often = Number(region()?.dataset.every || (live === "events" ? 10 : live)) * 1000;
      const needed = live !== "events" || !stream || stream.readyState !== EventSource.OPEN || region()?.dataset.every;
      if (needed && !document.hidden && Date.now() - read >= often) schedule(0);
    }, 1000);
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) return close();
      open();
      if (due) { due = 0; schedule(0); }
    });
    addEventListener("pagehide", close);
    open();
  }
  document.addEventListener("htmx:responseError", () => say(" · not live since " + clock()));
  document.addEventListener("htmx:sendError", () => say(" · not live since " + clock()));
  document.addEventListener("htmx:afterRequest", (e) => {
    if (e.detail.successful && stream?.readyState === EventSource.OPEN) say(" · live");
  });

  // The session: a warning two minutes before its end.
  const ends = Date.parse(body.dataset.ends || "");
  if (ends) setTimeout(() => { document.getElementById("session-note").hidden = false; }, Math.max(0, ends - Date.now() - 120000));

  // A field that was checked when it was left.
  htmx.onLoad((part) => {
    if (!part.matches(".why-bad")) return;
    const field = part.closest(".field").querySelector("input, select, textarea");
    if (part.textContent.trim()) field.setAttribute("aria-invalid", "true");
    else field.removeAttribute("aria-invalid");
  });

  // Buttons that only a script can serve, also in parts that were replaced.
  htmx.onLoad((part) => {
    for (const at of part.querySelectorAll("[data-copy]:not(:has(> button))")) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = at.dataset.copyLabel || "Copy";
      button.addEventListener("click", async () => {
        const from = document.getElementById(at.dataset.copy);
        await navigator.clipboard.writeText(from.dataset.text || from.value || from.textContent);
        button.textContent = "Copied";
      });
      at.append(button);
    }
    for (const all of part.querySelectorAll("[data-all]")) {
      all.hidden = false;
      all.addEventListener("change", () => {
        for (const one of document.querySelectorAll(`input[name="${all.dataset.all}"]`)) one.checked = all.checked;
      });
    }
  });

  // Shortcuts, never in a field. None of them changes anything.
  if (body.dataset.keys === "off" || !home) return;
  let before = "", row = -1;
  const pages = { o: "orders", a: "accounts", h: "", p: "pools" };
  const go = (by) => {
    const rows = [...document.querySelectorAll("tbody tr")];
    if (!rows.length) return;
    rows[row]?.classList.remove("at");
    row = Math.min(rows.length - 1, Math.max(0, row + by));
    rows[row].classList.add("at");
    rows[row].scrollIntoView({ block: "nearest" });
    rows[row].querySelector("a")?.focus();
  };
  document.addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || e.target.closest("input, textarea, select, [contenteditable]")) return;
    const key = e.key;
    if (before === "g" && key in pages) location.href = home + pages[key];
    else if (key === "/") { document.getElementById("q")?.focus(); e.preventDefault(); }
    else if (key === "j") go(1);
    else if (key === "k") go(-1);
    else if (key === "x") document.querySelector("tr.at .pick input")?.click();
    else if (key === "?") help();
    before = key;
  });
  function help() {
    let dialog = document.querySelector("dialog.keys");
    if (!dialog) {
      dialog = document.createElement("dialog");
      dialog.className = "keys";
      dialog.setAttribute("aria-label", "Keyboard shortcuts");
      const list = document.createElement("dl");
      for (const [keys, what] of [["/", "Search"], ["g o", "Orders"], ["g a", "Accounts"], ["g p", "Pools"], ["g h", "Overview"],
        ["j k", "Next and previous row"], ["x", "Select the row"], ["?", "This help"]]) {
        const dt = document.createElement("dt"), dd = document.createElement("dd"), kbd = document.createElement("kbd");
        kbd.textContent = keys;
        dt.append(kbd);
        dd.textContent = what;
        list.append(dt, dd);
      }
      const button = document.createElement("button");
      button.textContent = "Close";
      button.addEventListener("click", () => dialog.close());
      dialog.append(list, button);
      body.append(dialog);
    }
    dialog.showModal();
  }
})();
