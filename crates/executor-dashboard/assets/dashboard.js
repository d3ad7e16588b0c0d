// Keys, and nothing that a page needs: everything works without.
"use strict";
(() => {
  let went = false;
  const rows = () => [...document.querySelectorAll("table.rows tbody tr")];
  const move = (step) => {
    const all = rows();
    if (all.length === 0) return;
    const at = all.findIndex((row) => row.classList.contains("here"));
    const next = all[Math.min(Math.max(at + step, 0), all.length - 1)];
    all.forEach((row) => row.classList.remove("here"));
    next.classList.add("here");
    const link = next.querySelector("a");
    if (link) link.focus();
    next.scrollIntoView({ block: "nearest" });
  };
  const keys = {
    "/": () => {
      const field = document.querySelector("[data-search], input[type=search]");
      if (field) field.focus();
      else document.querySelector("[data-go=e]").click();
    },
    j: () => move(1),
    k: () => move(-1),
    g: () => { went = true; },
    r: () => location.reload(),
    "?": () => document.querySelector(".keys").scrollIntoView(),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, select, textarea")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (went) {
      went = false;
      const link = document.querySelector(`[data-go="${CSS.escape(event.key)}"]`);
      if (link) { event.preventDefault(); link.click(); }
      return;
    }
    const act = keys[event.key];
    if (act) { event.preventDefault(); act(); }
  });
})();
