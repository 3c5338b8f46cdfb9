# SPDX-License-Identifier: Apache-2.0
"""The style and the script of the HTML report: constants, named by their hashes in its policy.

The page is whole without the script: it only filters, opens all, and opens what is printed.
"""

STYLE = """
:root { color-scheme: light dark;
  --ground: #ffffff; --text: #1b1f24; --soft: #57606a; --line: #d0d7de; --panel: #f6f8fa;
  --critical: #a40e26; --high: #bc4c00; --medium: #7d5600; --low: #0550ae; --good: #116329;
  --open: #6639ba; --focus: #0969da; }
@media (prefers-color-scheme: dark) { :root {
  --ground: #0d1117; --text: #e6edf3; --soft: #9da7b3; --line: #3d444d; --panel: #161b22;
  --critical: #ff8182; --high: #ffa657; --medium: #e3b341; --low: #79c0ff; --good: #56d364;
  --open: #d2a8ff; --focus: #58a6ff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem 1.5rem 4rem; max-width: 72rem; background: var(--ground);
  color: var(--text); font: 1rem/1.5 system-ui, "Liberation Sans", sans-serif; }
h1 { font-size: 1.6rem; margin: .5rem 0; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2rem 0 .5rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; }
code, .name { font-family: ui-monospace, "Liberation Mono", monospace; font-size: .9em;
  overflow-wrap: anywhere; unicode-bidi: isolate; }
.skip { position: absolute; left: -999rem; }
.skip:focus { position: static; }
:focus-visible { outline: 3px solid var(--focus); outline-offset: 2px; }
.verdict { font-size: 1.2rem; font-weight: 700; }
.good { color: var(--good); } .fail { color: var(--critical); } .open { color: var(--open); }
.critical { color: var(--critical); } .high { color: var(--high); }
.medium { color: var(--medium); } .low { color: var(--low); }
.note { color: var(--soft); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; margin: .5rem 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid var(--line);
  overflow-wrap: anywhere; vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
figure { margin: 0; overflow-x: auto; }
svg { display: block; max-width: 100%; height: auto; }
td svg { display: inline-block; }
svg text { fill: var(--text); font: 13px system-ui, "Liberation Sans", sans-serif; }
svg .soft { fill: var(--soft); }
svg .box { fill: var(--panel); stroke: var(--line); stroke-width: 1.5; }
svg .box.fail { stroke: var(--critical); stroke-width: 3; }
svg .box.open { stroke: var(--open); stroke-dasharray: 6 3; }
svg .box.good { stroke: var(--good); }
svg .edge { fill: none; stroke: var(--soft); stroke-width: 1.5; }
svg .enforced { fill: #1a7f37; } svg .measured { fill: #4ac26b; }
svg .hashed { fill: #54aeff; } svg .metadata { fill: #d4a72c; }
svg .unverifiable { fill: #cf222e; } svg .ignored { fill: #8c959f; }
#filter { display: flex; flex-wrap: wrap; gap: .6rem 1rem; align-items: end; margin: .6rem 0; }
#filter[hidden] { display: none; }
#filter label { display: flex; flex-direction: column; font-size: .85rem; color: var(--soft); }
input, select, button { font: inherit; color: inherit; background: var(--panel);
  border: 1px solid var(--line); border-radius: 4px; padding: .3rem .5rem; }
details { border: 1px solid var(--line); border-radius: 4px; margin: .3rem 0;
  padding: 0 .7rem; background: var(--panel); }
details[open] { padding-bottom: .5rem; }
summary { padding: .35rem 0; cursor: pointer; overflow-wrap: anywhere; }
.badge { font-weight: 700; text-transform: uppercase; font-size: .75rem; }
.chain { display: flex; flex-wrap: wrap; gap: .3rem; list-style: none; padding: 0;
  margin: .5rem 0; }
.chain li { border: 1px solid var(--line); border-radius: 4px; padding: .1rem .5rem; }
.chain li + li::before { content: "\\2192\\00a0"; color: var(--soft); }
.chain .broken { border: 2px solid var(--critical); color: var(--critical); font-weight: 700; }
@page { margin: 15mm; }
@media print {
  :root { color-scheme: light; --ground: #fff; --text: #000; --soft: #444; --line: #999;
    --panel: #fff; --critical: #900; --high: #930; --medium: #640; --low: #036; --good: #040;
    --open: #406; }
  body { max-width: none; padding: 0; font-size: 9pt; }
  h2 { margin-top: 1rem; } td, th { padding: .1rem .5rem; }
  #filter, .skip { display: none; }
  details, tr, figure { break-inside: avoid; }
  h2, h3, summary { break-after: avoid; }
  details::details-content { content-visibility: visible; block-size: auto; }
}
"""

SCRIPT = """
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const findings = Array.from(document.querySelectorAll("details.finding"));
  const texts = findings.map((one) => one.textContent.toLowerCase());
  const groups = Array.from(document.querySelectorAll("section.check"));
  const said = byId("shown");
  const apply = () => {
    const severity = byId("severity").value;
    const area = byId("area").value;
    const words = byId("words").value.toLowerCase().split(/\\s+/).filter(Boolean);
    let shown = 0;
    findings.forEach((one, index) => {
      const fits = (!severity || one.dataset.severity === severity) &&
        (!area || one.dataset.area === area) &&
        words.every((word) => texts[index].includes(word));
      one.hidden = !fits;
      if (fits) { shown += 1; }
    });
    groups.forEach((group) => {
      group.hidden = !group.querySelector("details.finding:not([hidden])");
    });
    said.textContent = `${shown} of ${findings.length} shown`;
  };
  for (const id of ["severity", "area", "words"]) { byId(id)?.addEventListener("input", apply); }
  byId("clear")?.addEventListener("click", () => {
    for (const id of ["severity", "area", "words"]) { byId(id).value = ""; }
    apply();
    byId("words").focus();
  });
  byId("open-all")?.addEventListener("click", () => {
    const closed = findings.some((one) => !one.hidden && !one.open);
    findings.forEach((one) => { if (!one.hidden) { one.open = closed; } });
  });
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = Array.from(document.querySelectorAll("details:not([open])"));
    opened.forEach((one) => { one.open = true; });
  });
  addEventListener("afterprint", () => { opened.forEach((one) => { one.open = false; }); });
  if (byId("filter")) { byId("filter").hidden = false; apply(); }
})();
"""
