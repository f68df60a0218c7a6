// What makes the pages nicer where scripts run. Everything works without it.
"use strict";
(() => {
  const $ = (s, e = document) => e.querySelector(s);
  const all = (s, e = document) => [...e.querySelectorAll(s)];
  document.documentElement.classList.add("js");

  const bytes = (n) => {
    if (n < 1000) return n + " B";
    for (const unit of ["kB", "MB", "GB", "TB"]) {
      n /= 1000;
      if (n < 999.5) return (n < 9.95 ? n.toFixed(1) : n.toFixed(0)) + " " + unit;
    }
    return n.toFixed(0) + " PB";
  };
  const id = () => [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");
  const later = (ms) => new Promise((done) => setTimeout(done, ms));
  // Names come from others: what hides or turns text is shown as what it is.
  const shown = (s) => s.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cn}]/gu, (c) => "\\u{" + c.codePointAt(0).toString(16) + "}");

  // Times in the reader's own zone.
  const when = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  for (const t of all("time")) {
    const d = new Date(t.dateTime);
    if (!isNaN(d)) t.textContent = when.format(d);
  }

  // Copying.
  const copy = async (button, text) => {
    await navigator.clipboard.writeText(text);
    const was = button.textContent;
    button.textContent = "Copied";
    await later(1500);
    button.textContent = was;
  };
  for (const b of all("[data-copy]")) {
    b.hidden = false;
    b.addEventListener("click", () => copy(b, document.getElementById(b.dataset.copy).value));
  }
  for (const i of all("input[readonly]")) i.addEventListener("focus", () => i.select());

  // Filtering what is listed.
  const filter = $("#filter");
  if (filter) {
    filter.closest("label").hidden = false;
    const rows = all(".listing tbody tr").map((r) => [r, $(".name", r).textContent.toLowerCase()]);
    const count = $("#count"), total = count.textContent;
    filter.addEventListener("input", () => {
      const want = filter.value.toLowerCase();
      let n = 0;
      for (const [r, name] of rows) {
        r.hidden = !name.includes(want);
        if (!r.hidden) n++;
      }
      count.textContent = want ? n + " of " + rows.length : total;
    });
  }

  // The list of transfers.
  const panel = $(".transfers"), list = $("ol", panel);
  const entry = (name) => {
    panel.hidden = false;
    const li = document.createElement("li");
    const what = document.createElement("span"), state = document.createElement("span"), bar = document.createElement("progress");
    what.className = "what"; state.className = "state";
    what.textContent = shown(name); state.textContent = "waiting";
    bar.setAttribute("aria-label", name);
    li.append(what, state, bar);
    list.append(li);
    return {
      li,
      at(done, total, words) { if (total) { bar.max = total; bar.value = done; } else bar.removeAttribute("value"); state.textContent = words; },
      end(ok, words) { li.classList.add(ok ? "finished" : "failed"); state.textContent = words; if (!ok) bar.remove(); },
      after(...nodes) { const d = document.createElement("div"); d.className = "after"; d.append(...nodes); li.append(d); },
    };
  };
  const button = (text, action) => {
    const b = document.createElement("button");
    b.type = "button"; b.className = "quiet"; b.textContent = text;
    b.addEventListener("click", () => action(b));
    return b;
  };
  const openCap = (cap) => {
    const f = document.createElement("form"), i = document.createElement("input");
    f.method = "post"; f.action = "/"; i.type = "hidden"; i.name = "uri"; i.value = cap;
    f.append(i); document.body.append(f); f.submit();
  };

  // Following one on the node: it may still be at work when everything was sent.
  const follow = async (key, e, verb, until) => {
    while (!until.done) {
      await later(400);
      if (until.done) return;
      try {
        const r = await fetch("/progress/" + key);
        if (!r.ok) continue;
        const p = await r.json();
        if (p.stage === "storing") e.at(0, 0, "spreading over the grid");
        if (verb === "down") {
          const part = p.total ? Math.floor(100 * p.done / p.total) + " %, " : "";
          e.at(p.done, p.total, part + bytes(p.done) + (p.total ? " of " + bytes(p.total) : ""));
          if (p.stage === "finished") { e.end(true, bytes(p.done) + ", every byte checked"); return; }
          if (p.stage === "failed") { e.end(false, p.error || "broke off"); return; }
        }
      } catch { /* the node is busy; asked again */ }
    }
  };

  // Uploading.
  const send = (url, file, name) => new Promise((done) => {
    const e = entry(name), key = id(), until = { done: false }, x = new XMLHttpRequest();
    let following = false;
    x.open("PUT", url + (url.includes("?") ? "&" : "?") + "progress=" + key);
    x.upload.addEventListener("progress", (p) => {
      e.at(p.loaded, p.total, bytes(p.loaded) + " of " + bytes(p.total));
      if (p.loaded === p.total && !following) { following = true; e.at(0, 0, "encrypting"); follow(key, e, "up", until); }
    });
    x.addEventListener("loadend", () => {
      until.done = true;
      if (x.status === 200 || x.status === 201) {
        e.end(true, bytes(file.size) + ", stored");
        done([e, x.responseText]);
        return;
      }
      e.end(false, x.status ? x.responseText : "the node did not answer");
      done([e, null]);
    });
    x.send(file);
  });
  // Files and folders of a drop, with their paths.
  const walk = async (entries, path, out) => {
    for (const en of entries) {
      if (en.isFile) out.push([await new Promise((ok, no) => en.file(ok, no)), [...path, en.name]]);
      else if (en.isDirectory) {
        const reader = en.createReader();
        for (;;) {
          const part = await new Promise((ok, no) => reader.readEntries(ok, no));
          if (!part.length) break;
          await walk(part, [...path, en.name], out);
        }
      }
    }
    return out;
  };
  const upload = async (base, files) => {
    const linked = base !== "/uri";
    let good = 0;
    const work = async () => {
      for (let next; (next = files.shift());) {
        const [file, path] = next;
        const url = linked ? base + "/" + path.map(encodeURIComponent).join("/") + "?replace=only-files" : base;
        const [e, cap] = await send(url, file, path.join("/"));
        if (cap === null) continue;
        good++;
        if (!linked) e.after(button("Copy cap", (b) => copy(b, cap)), button("Open", () => openCap(cap)));
      }
    };
    await Promise.all([work(), work()]);
    if (linked && good && !$(".transfers .failed")) location.reload();
  };
  const drop = $(".drop");
  if (drop) {
    const input = $("input[type=file]", drop), base = drop.dataset.upload;
    input.multiple = true; input.required = false;
    $(".zone-text", drop).textContent = base === "/uri" ? "Drop files here, or choose" : "Drop files and folders anywhere, or choose";
    drop.addEventListener("submit", (ev) => ev.preventDefault());
    input.addEventListener("change", () => {
      const files = [...input.files].map((f) => [f, [f.name]]);
      input.value = "";
      upload(base, files);
    });
    let depth = 0;
    const over = (yes) => document.body.classList.toggle("over-page", yes);
    addEventListener("dragenter", (ev) => { if (ev.dataTransfer.types.includes("Files")) { depth++; over(true); } });
    addEventListener("dragleave", () => { depth = Math.max(0, depth - 1); if (!depth) over(false); });
    addEventListener("dragover", (ev) => ev.preventDefault());
    addEventListener("drop", async (ev) => {
      ev.preventDefault(); depth = 0; over(false);
      const entries = [...ev.dataTransfer.items].map((i) => i.webkitGetAsEntry && i.webkitGetAsEntry()).filter(Boolean);
      const plain = [...ev.dataTransfer.files].map((f) => [f, [f.name]]);
      upload(base, entries.length ? await walk(entries, [], []) : plain);
    });
  }

  // Downloading: the browser keeps the file, the node says how far it is.
  for (const a of all("[data-download]")) {
    a.addEventListener("click", (ev) => {
      if (ev.ctrlKey || ev.metaKey || ev.shiftKey || ev.button) return;
      ev.preventDefault();
      const key = id(), e = entry(a.dataset.download);
      e.at(0, 0, "asking the servers");
      follow(key, e, "down", { done: false });
      location.href = a.getAttribute("href") + "&progress=" + key;
    });
  }
})();
