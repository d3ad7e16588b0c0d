// Keys, and what has changed while a page is open. Nothing that a page needs: everything works without.
"use strict";
(() => {
  const all = (selector, of = document) => [...of.querySelectorAll(selector)];

  // Rows and pages by keys.
  let went = false;
  const move = (step) => {
    const rows = all("table.rows tbody tr").filter((row) => row.getClientRects().length > 0);
    if (rows.length === 0) return;
    const at = rows.findIndex((row) => row.classList.contains("here"));
    const next = rows[Math.min(Math.max(at + step, 0), rows.length - 1)];
    rows.forEach((row) => row.classList.remove("here"));
    next.classList.add("here");
    const link = next.querySelector("a[href*='/executions/'], a");
    if (link) link.focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest" });
  };
  const help = () => {
    const keys = document.querySelector(".keys");
    keys.classList.add("shown");
    keys.scrollIntoView();
  };
  const search = () => {
    const field = document.querySelector("[data-search]");
    if (field) field.focus();
    else document.querySelector("[data-go=e]").click();
  };
  const keys = {
    "/": search,
    "?": help,
    g: () => {
      went = true;
      setTimeout(() => { went = false; }, 1500);
    },
    j: () => move(1),
    k: () => move(-1),
    r: () => location.reload(),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, select, textarea")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const link = went && document.querySelector(`[data-go="${CSS.escape(event.key)}"]`);
    const act = link ? () => link.click() : keys[event.key];
    went = false;
    if (act) {
      event.preventDefault();
      act();
    }
  });

  // What can be copied has a button; the clipboard's own interface needs TLS, this does not.
  for (const code of all("[data-copy]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.addEventListener("click", () => {
      const selection = getSelection();
      selection.selectAllChildren(code);
      button.textContent = document.execCommand("copy") ? "Copied" : "Press Ctrl+C";
    });
    code.after(button);
  }

  // An audit that goes on shows how far it is.
  if (document.querySelector("[data-again]")) setTimeout(() => location.reload(), 1000);

  // What has changed. A list stays where it is until somebody wants it to move.
  let stream = null;
  let count = 0;
  const news = () => {
    count += 1;
    let notice = document.querySelector(".news");
    if (!notice) {
      notice = document.createElement("p");
      notice.className = "news";
      notice.setAttribute("role", "status");
      const link = document.createElement("a");
      link.href = location.href;
      notice.append(link);
      document.querySelector("h1").after(notice);
    }
    notice.firstChild.textContent = count === 1 ? "There is something new: show it" : `There is something new (${count} times): show it`;
  };
  const renew = async () => {
    const live = all("[data-live]");
    if (live.length < 2) return news();
    const answer = await fetch(location.href);
    if (!answer.ok || answer.redirected) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = all("[data-live]", page);
    if (fresh.length !== live.length) return location.reload();
    live.forEach((old, place) => {
      // What somebody is about to press must not move away.
      const isInUse = old.contains(document.activeElement) || old.querySelector("details[open]") || (old.querySelector("button") && old.matches(":hover"));
      if (!isInUse && old.innerHTML !== fresh[place].innerHTML) old.replaceWith(document.importNode(fresh[place], true));
    });
  };
  const listen = () => {
    if (stream || document.hidden || new URLSearchParams(location.search).has("until")) return;
    stream = new EventSource(`${document.documentElement.dataset.base}/changes`);
    stream.onmessage = () => renew().catch(() => {});
  };
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) {
      listen();
      if (all("[data-live]").length > 1) renew().catch(() => {});
    } else if (stream) {
      stream.close();
      stream = null;
    }
  });
  listen();
})();
