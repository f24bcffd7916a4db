"use strict";
const report = (() => {
  const find = (selector, root = document) => [...root.querySelectorAll(selector)];
  const one = (id) => document.getElementById(id);
  const sorted = new Map();
  const texts = new WeakMap();
  const chosen = ["", ""];
  const most = 100; // rows of a board at first, since a browser takes long to lay out many
  const whole = new Set();
  let printing = false;
  let order = [];

  const textOf = (element, extra = "") => {
    if (!texts.has(element)) texts.set(element, `${extra} ${element.textContent}`.toLowerCase());
    return texts.get(element);
  };

  const numberOf = (cell) => (cell.tagName === "TD" ? parseFloat(cell.textContent.replace(/,/g, "").replace("−", "-")) : NaN);

  const nameOf = (entry) => [...entry.firstElementChild.children].map((each) => each.textContent).join(" · ");

  function sort(table, column, order) {
    const body = table.tBodies[0];
    const sign = order === "ascending" ? 1 : -1;
    const rows = [...body.rows].map((row, place) => {
      const cell = row.cells[column];
      const value = numberOf(cell);
      return { row, place, text: cell.textContent.trim(), value: Number.isNaN(value) ? null : value };
    });
    const numbers = rows.some((each) => each.value !== null);
    const isEmpty = (each) => (numbers ? each.value === null : each.text === "");
    rows.sort((a, b) => {
      if (isEmpty(a) || isEmpty(b)) return isEmpty(a) - isEmpty(b) || a.place - b.place;
      const difference = numbers ? a.value - b.value : a.text.localeCompare(b.text, undefined, { numeric: true });
      return sign * difference || a.place - b.place;
    });
    for (const head of table.tHead.rows[0].cells) head.removeAttribute("aria-sort");
    table.tHead.rows[0].cells[column].setAttribute("aria-sort", order);
    body.replaceChildren(...rows.map((each) => each.row));
    show(table);
  }

  function sortBy(button) {
    const head = button.closest("th");
    const table = head.closest("table");
    const first = head.dataset.first === "desc" ? "descending" : "ascending";
    const other = first === "ascending" ? "descending" : "ascending";
    const order = head.getAttribute("aria-sort") === first ? other : first;
    sort(table, head.cellIndex, order);
    sorted.set(table.closest(".board").id, { name: button.textContent, order });
  }

  function matches(text) {
    return one("filter").value.toLowerCase().split(/\s+/).every((word) => text.includes(word));
  }

  function show(table) {
    const board = table.closest(".board");
    const isWhole = printing || whole.has(board.id);
    let found = 0;
    for (const row of table.tBodies[0].rows) {
      const isFound = matches(textOf(row, table.caption.textContent));
      row.hidden = !isFound || (!isWhole && found >= most);
      found += isFound;
    }
    board.hidden = found === 0;
    board.querySelector(".more")?.remove();
    if (!isWhole && found > most) {
      const button = make("button", `Show all ${found.toLocaleString("en")} rows`);
      button.type = "button";
      button.className = "more";
      table.parentElement.after(button);
    }
    return found;
  }

  function showBoards() {
    return find(".board table").reduce((total, table) => total + show(table), 0);
  }

  function filter() {
    const shown = showBoards();
    const total = find(".board tbody tr").length;
    const both = compared();
    for (const entry of order) {
      const text = `${nameOf(entry)} ${[...find("tbody th", entry)].map((e) => e.textContent).join(" ")}`;
      entry.hidden = both ? !both.includes(entry) : !matches(text.toLowerCase());
    }
    for (const section of find(".dataset")) {
      hideWithout(find(".glance tbody tr", section), section.querySelector("h2").textContent, section.querySelector(".scroll:has(.glance)"));
      for (const figures of find(".figures", section)) {
        hideWithout(find("figure", figures), `${section.querySelector("h2").textContent} ${figures.querySelector("h3").textContent}`, figures);
      }
      section.hidden = !section.querySelector(".board:not([hidden])");
    }
    if (one("models")) one("models").hidden = order.every((entry) => entry.hidden);
    const counted = `${shown.toLocaleString("en")} of ${total.toLocaleString("en")} rows`;
    one("shown").textContent = one("filter").value.trim() ? counted : "";
  }

  function hideWithout(parts, extra, whole) {
    for (const part of parts) part.hidden = !matches(textOf(part, extra));
    if (whole) whole.hidden = parts.every((part) => part.hidden);
  }

  function showAll(board) {
    whole.add(board.id);
    show(board.querySelector("table"));
    board.querySelector(".scroll").focus({ preventScroll: true });
  }

  function hideColumns() {
    for (const box of find("#columns input")) document.documentElement.classList.toggle(`hide-${box.value}`, !box.checked);
  }

  function reveal() {
    const target = location.hash.length > 1 && one(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    if (target.closest("[hidden]")) {
      one("filter").value = "";
      choose("", "");
    }
    const entry = target.closest("details");
    if (entry) entry.open = true;
    target.scrollIntoView();
  }

  function make(tag, text, scope) {
    const made = document.createElement(tag);
    made.textContent = text;
    if (scope) made.scope = scope;
    return made;
  }

  function compared() {
    const both = chosen.map((key) => order.find((entry) => entry.dataset.key === key));
    return both[0] && both[1] && both[0] !== both[1] ? both : null;
  }

  function choose(first, second) {
    [chosen[0], chosen[1]] = [first, second];
    const both = compared();
    one("first").value = first;
    one("second").value = second;
    one("all").hidden = !both;
    one("models").classList.toggle("pair", Boolean(both));
    for (const marked of find(".differs")) marked.classList.remove("differs");
    one("both").replaceChildren();
    one("entries").append(...order);
    if (both) {
      one("entries").prepend(...both);
      for (const entry of both) entry.open = true;
      mark(both);
      tabulate(both);
    }
    if (first && first === second) one("both").replaceChildren(make("p", "Choose two different models."));
    filter();
  }

  function mark(entries) {
    const [left, right] = entries.map(
      (entry) => new Map(find("dl > div", entry).map((each) => [`${each.parentElement.dataset.of} ${each.firstElementChild.textContent}`, each])),
    );
    for (const [mine, others] of [[left, right], [right, left]]) {
      for (const [key, element] of mine) {
        if (others.get(key)?.textContent.trim() !== element.textContent.trim()) element.classList.add("differs");
      }
    }
  }

  function tabulate(entries) {
    const [left, right] = entries.map((entry) => new Map(find("tbody tr", entry).map((row) => [row.querySelector("a").hash, row])));
    const table = document.createElement("table");
    table.createCaption().textContent = entries.map((each) => nameOf(each)).join(" and ");
    table.createTHead().insertRow().append(
      make("th", "metric", "col"), ...entries.map((entry) => make("th", entry.querySelector("h3").textContent, "col")),
    );
    const body = table.createTBody();
    for (const [key, row] of left) {
      if (!right.has(key)) continue;
      const words = [row, right.get(key)].map(
        (each) => each.cells[1].firstChild.textContent + (each.cells[2].textContent.trim() && `, rank ${each.cells[2].textContent.trim()}`),
      );
      body.insertRow().append(make("th", row.cells[0].textContent, "row"), ...words.map((each) => make("td", each)));
    }
    one("both").replaceChildren(body.rows.length ? table : make("p", "They have no board in common."));
  }

  function prepare() {
    for (const head of find(".board thead th:not(.i)")) {
      const button = make("button", head.textContent.trim());
      button.type = "button";
      head.replaceChildren(button);
    }
    for (const command of find(".command")) {
      const button = make("button", "Copy");
      button.type = "button";
      button.className = "copy";
      command.append(button);
    }
    for (const [id, { name, order }] of sorted) {
      const button = one(id) && find("thead button", one(id)).find((each) => each.textContent === name);
      if (button) sort(button.closest("table"), button.closest("th").cellIndex, order);
    }
    order = find(".entry");
    if (one("models")) {
      for (const select of [one("first"), one("second")]) {
        for (const entry of order) select.append(new Option(nameOf(entry), entry.dataset.key));
      }
      choose(...chosen);
    } else {
      filter();
    }
  }

  document.documentElement.classList.add("js");
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button?.closest("thead")) sortBy(button);
    else if (button?.id === "all") choose("", "");
    else if (button?.classList.contains("copy")) copy(button);
    else if (button?.classList.contains("more")) showAll(button.closest(".board"));
    if (!event.target.closest("#columns")) one("columns").open = false;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && one("columns").open) {
      one("columns").open = false;
      one("columns").firstElementChild.focus();
    }
  });
  document.addEventListener("change", (event) => {
    if (event.target.closest("#columns")) hideColumns();
    else if (event.target.closest("#compare")) choose(one("first").value, one("second").value);
  });
  one("filter").addEventListener("input", filter);
  addEventListener("hashchange", reveal);
  let closed = [];
  addEventListener("beforeprint", () => {
    printing = true;
    showBoards();
    closed = find("details:not(.menu, [open])");
    for (const each of closed) each.open = true;
  });
  addEventListener("afterprint", () => {
    printing = false;
    showBoards();
    for (const each of closed) each.open = false;
  });

  async function copy(button) {
    const code = button.parentElement.querySelector("code");
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  }

  prepare();
  reveal();
  return { prepare };
})();
