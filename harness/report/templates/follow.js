(() => {
  const state = document.createElement("span");
  state.className = "live";
  document.querySelector(".tools").append(state);
  const show = (text, isLost) => {
    if (state.textContent === text) return;
    state.textContent = text;
    state.classList.toggle("lost", isLost);
  };
  let known = null;

  function replace(text) {
    const next = new DOMParser().parseFromString(text, "text/html");
    const open = [...document.querySelectorAll("main details[open]")].map((each) => each.querySelector("[id]")?.id);
    const active = document.activeElement?.id;
    document.title = next.title;
    for (const selector of ["header", "nav", "main"]) {
      document.querySelector(selector).replaceWith(next.querySelector(selector));
    }
    for (const id of open.filter(Boolean)) {
      const details = document.getElementById(id)?.closest("details");
      if (details) details.open = true;
    }
    report.prepare();
    if (active) document.getElementById(active)?.focus({ preventScroll: true });
  }

  async function follow() {
    const start = performance.now();
    try {
      const answer = await fetch("version", { cache: "no-store" });
      if (!answer.ok) throw new Error(await answer.text());
      const version = await answer.text();
      if (known !== null && version !== known) replace(await (await fetch("./", { cache: "no-store" })).text());
      known = version;
      show("live", false);
    } catch (error) {
      show("not connected", true);
    }
    // A page that takes long to build takes time from the run.
    setTimeout(follow, Math.max(1000, 4 * (performance.now() - start)));
  }
  follow();
})();
