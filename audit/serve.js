"use strict";
// The page: sends a clip, asks how far its audit is, and shows the record. All text of a record is
// set as text, never as markup: a manifest is a stranger's.

const byId = (id) => document.getElementById(id);
const POLL_MS = 700;
let objectUrl = null;

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
  element.append(...children.filter((child) => child !== null && child !== undefined).map(
    (child) => (child instanceof Node ? child : document.createTextNode(String(child)))
  ));
  return element;
}

const card = (title, ...children) => {
  const heading = make("h2", {}, title);
  heading.id = "h-" + title.toLowerCase().replace(/[^a-z]+/g, "-");
  return make("section", { class: "card", "aria-labelledby": heading.id }, heading, ...children);
};

const facts = (rows) => make("dl", {}, ...rows
  .filter(([, value]) => value !== null && value !== undefined && value !== "")
  .flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));

function problem(text) {
  byId("problem").textContent = text || "";
  byId("problem").hidden = !text;
}

function progress(state) {
  byId("waiting").hidden = state === null;
  if (state === null) return;
  const bar = byId("bar");
  if (state.share === null) bar.removeAttribute("value"); else bar.value = 100 * state.share;
  byId("step").textContent = state.text;
}

async function asked(response) {
  if (response.ok) return response.status === 204 ? null : response.json();
  let text = "the server answered " + response.status + ".";
  try { text = (await response.json()).error || text; } catch (_) { /* no JSON: the number says it */ }
  throw new Error(text);
}

function send(file) {
  // fetch() does not tell how far an upload is.
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", "/api/audits?name=" + encodeURIComponent(file.name));
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.onprogress = (event) => progress({
      share: event.lengthComputable ? 0.3 * event.loaded / event.total : null, text: "sending",
    });
    request.onerror = () => reject(new Error("the server cannot be reached."));
    request.onload = () => asked(new Response(request.responseText, { status: request.status }))
      .then(resolve, reject);
    request.send(file);
  });
}

const STEPS = {
  manifest: "reading the manifest", container: "reading the container", mark: "looking for the mark",
  faces: "looking at faces", registry: "asking the registry",
};

async function wait(job) {
  while (job.state === "queued" || job.state === "running") {
    const share = job.steps ? 0.3 + 0.7 * job.done / job.steps : 0.3;
    const text = job.state === "queued" ? "waiting for other audits" : STEPS[job.step] || "working";
    progress({ share, text });
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    job = await asked(await fetch("/api/audits/" + encodeURIComponent(job.id)));
  }
  if (job.state === "failed") throw new Error(job.error);
  return job;
}

function verdict(record) {
  return make("section", { class: "card verdict" + (record.wrong ? " wrong" : ""), "aria-label": "Verdict" },
    make("h2", {}, record.title),
    make("p", {}, "Confidence: ", make("strong", {}, record.confidence),
      record.wrong ? make("span", { class: "bad" }, " · the content is not what it claims to be") : null),
    make("ul", {}, ...record.reasons.map((reason) => make("li", {}, reason))));
}

function techniques(record) {
  const rows = record.findings.map((finding) => make("tr", {},
    make("th", { scope: "row" }, finding.method),
    make("td", {}, finding.result,
      make("small", {}, "Error rate: " + finding.error_rate + "."),
      make("small", {}, "Conditions: " + finding.conditions + "."))));
  return card("What each technique found", make("table", {},
    make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "Technique"), make("th", { scope: "col" }, "Found"))),
    make("tbody", {}, ...rows)));
}

function player(record, source) {
  const kind = record.exhibit.media_type;
  if (kind.startsWith("image/")) return make("img", { class: "shown", src: source, alt: "The clip" });
  if (kind.startsWith("audio/")) return make("audio", { controls: true, src: source });
  return make("video", { controls: true, playsinline: true, muted: true, preload: "metadata", src: source });
}

function timeline(markup, media) {
  if (!markup) return null;
  const holder = make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Timeline" });
  const template = document.createElement("template");
  template.innerHTML = markup; // made and escaped by this server
  holder.append(template.content);
  const drawing = holder.querySelector("svg");
  const [left, right, seconds] = ["left", "right", "seconds"].map((name) => Number(drawing.dataset[name]));
  const head = document.createElementNS("http://www.w3.org/2000/svg", "line");
  head.setAttribute("class", "head");
  head.setAttribute("y1", "18");
  head.setAttribute("y2", drawing.viewBox.baseVal.height);
  drawing.append(head);
  const move = () => {
    const x = left + (right - left) * Math.min(1, (media.currentTime || 0) / seconds);
    head.setAttribute("x1", x);
    head.setAttribute("x2", x);
  };
  move();
  if ("currentTime" in media) {
    media.addEventListener("timeupdate", move);
    media.addEventListener("seeking", move);
    drawing.addEventListener("click", (event) => {
      const box = drawing.getBoundingClientRect();
      const x = (event.clientX - box.left) * drawing.viewBox.baseVal.width / box.width;
      media.currentTime = Math.max(0, Math.min(seconds, seconds * (x - left) / (right - left)));
    });
  }
  return make("figure", {}, holder, make("figcaption", {},
    "The red line is where the player is; a click moves it. A band lasts from a face's first look to its last; the curve is the detector's raw score, which is no probability."));
}

function faces(record) {
  const shown = record.faces.map((face) => {
    let said = "not judged";
    if (face.lr !== null) said = "likelihood ratio " + Number(face.lr).toPrecision(3) + ", " + face.verdict + (face.reason ? " (" + face.reason + ")" : "");
    else if (face.score !== null) said = "no likelihood ratio, " + (face.reason || face.verdict) + "; raw score over all of it " + face.score.toFixed(3) + ", which is no probability";
    const words = "Face " + face.number + ", " + face.begin_s.toFixed(2) + " to " + face.end_s.toFixed(2) + " s: " + said + "."
      + (face.heat ? " Below each crop, in red, what the raw score rests on." : "");
    return make("figure", {},
      face.picture ? make("img", { src: "data:image/jpeg;base64," + face.picture, alt: "Crops of face " + face.number }) : null,
      make("figcaption", {}, words));
  });
  return card("Faces", ...(shown.length ? shown : [make("p", {}, "No face was found or looked for.")]));
}

function tree(manifest, title, open) {
  const about = facts([
    ["state", manifest.state], ["signer", manifest.signer], ["issuer", manifest.issuer],
    ["made by", manifest.generator], ["source type", manifest.digital_source_type],
    ["claimed time", manifest.created], ["time stamp", manifest.time_stamp],
    ["names the mark", manifest.payload], ["identifier", manifest.id],
    ...manifest.failures.map((code) => ["failure", code]),
    ...manifest.warnings.map((code) => ["warning", code]),
  ]);
  const inputs = manifest.ingredients.map((item) => make("details", {},
    make("summary", { class: item.failures.length ? "bad" : null }, item.role + " (" + item.relationship + ")" + (item.failures.length ? ": broken" : "")),
    facts([["sha256", item.sha256], ["its manifest", item.manifest], ["failures", item.failures.join(", ")]])));
  return make("details", { open: open },
    make("summary", {}, title + ": ", make("strong", { class: manifest.state === "invalid" ? "bad" : null }, manifest.state)),
    about, ...inputs);
}

function manifests(record) {
  const clip = record.registry.clip;
  return card("Manifests", tree(record.manifest, "In the file", record.manifest.state !== "absent"),
    record.recovered ? tree(record.recovered, "Recovered from the registry", true)
      : make("p", { class: "soft" }, record.registry.why_not || "None was recovered from the registry."),
    clip ? facts([["registered clip", clip.clip], ["its label", clip.label + " in its corpus, " + clip.kind], ["found by", clip.found_by], ["content", clip.content]]) : null);
}

function mark(record) {
  const found = record.mark;
  if (!found) return card("Mark", make("p", {}, "None was looked for."));
  const turned = found.geometry;
  return card("Mark", facts([
    ["present", found.present ? "yes" : "none found, which proves nothing"],
    ["payload", found.payload || (found.present ? "lost" : "")],
    ["z", found.z.toFixed(1)],
    ["chance", found.present ? "at most " + found.p_value.toExponential(1) + " that an unmarked clip reads so" : ""],
    ["since marking", turned ? "spans " + turned.scale.map((each) => each.toFixed(3)).join(" x ") + " of the marked picture, turned " + turned.degrees.toFixed(2) + " degrees" + (turned.mirrored ? ", mirrored" : "") : ""],
  ]));
}

function container(record) {
  return card("Container and codecs", make("p", { class: "soft" }, "Facts that the file states; none is evidence by itself."),
    ...record.history.map((fact) => make("details", {},
      make("summary", {}, make("strong", {}, fact.name), ": " + fact.value),
      facts([["can say", fact.says], ["cannot say", fact.cannot]]))));
}

function report(job) {
  const base = "/api/audits/" + encodeURIComponent(job.id) + "/report";
  const links = [["Report as a page", ".html"], ["as PDF", ".pdf"], ["as data", ".json"], ["Signature of the page", ".html.c2pa"], ["of the PDF", ".pdf.c2pa"]];
  const forget = make("button", { type: "button" }, "Forget this audit");
  forget.addEventListener("click", async () => {
    try {
      await asked(await fetch("/api/audits/" + encodeURIComponent(job.id), { method: "DELETE" }));
      byId("result").hidden = true;
      byId("file").focus();
    } catch (error) { problem(error.message); }
  });
  return card("Take the report along", make("ul", { class: "take" },
    ...links.map(([text, form]) => make("li", {}, make("a", { href: base + form, download: form === ".html" ? null : "" , target: form === ".html" ? "_blank" : null, rel: "noopener" }, text)))),
    forget);
}

function show(job, source) {
  const record = job.record;
  const media = player(record, source);
  const result = byId("result");
  result.replaceChildren(
    verdict(record),
    make("div", { class: "columns" },
      card("Clip", media, facts([["name", record.exhibit.name], ["sha256", record.exhibit.sha256], ["size", record.exhibit.bytes.toLocaleString("en") + " bytes"]])),
      make("div", { class: "stack" }, mark(record), manifests(record))),
    ...[job.timeline ? card("Timeline", timeline(job.timeline, media)) : null].filter(Boolean),
    techniques(record), faces(record), container(record),
    card("Limits", make("ul", {}, ...record.limits.map((limit) => make("li", {}, limit)))),
    report(job));
  result.hidden = false;
  result.focus();
  document.title = record.title + " · " + record.exhibit.name;
}

async function run(event) {
  event.preventDefault();
  const file = byId("file").files[0];
  const picked = byId("pick").value;
  if (!file && !picked) return;
  problem("");
  byId("result").hidden = true;
  byId("start").disabled = true;
  try {
    let job, source;
    if (picked) {
      source = "/api/clips/" + encodeURIComponent(picked);
      job = await asked(await fetch("/api/audits?pick=" + encodeURIComponent(picked), { method: "POST" }));
    } else {
      if (objectUrl) URL.revokeObjectURL(objectUrl);
      source = objectUrl = URL.createObjectURL(file);
      job = await send(file);
    }
    show(await wait(job), source);
  } catch (error) {
    problem(error.message);
  } finally {
    progress(null);
    ready();
  }
}

function ready() {
  byId("start").disabled = !byId("file").files.length && !byId("pick").value;
}

async function begin() {
  byId("choose").addEventListener("submit", run);
  byId("file").addEventListener("change", () => { if (byId("file").files.length) byId("pick").value = ""; ready(); });
  byId("pick").addEventListener("change", () => { if (byId("pick").value) byId("file").value = ""; ready(); });
  const drop = byId("drop");
  for (const name of ["dragover", "dragleave", "drop"]) {
    drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.toggle("over", name === "dragover"); });
  }
  drop.addEventListener("drop", (event) => {
    if (event.dataTransfer.files.length) { byId("file").files = event.dataTransfer.files; byId("pick").value = ""; ready(); }
  });
  try {
    const clips = await asked(await fetch("/api/clips"));
    for (const name of clips) byId("pick").append(make("option", { value: name }, name));
    byId("picker").hidden = !clips.length;
    // A link may name a clip of the list: /?pick=NAME
    const wanted = new URLSearchParams(location.search).get("pick");
    if (wanted && clips.includes(wanted)) {
      byId("pick").value = wanted;
      byId("choose").requestSubmit();
    }
  } catch (error) { problem(error.message); }
  ready();
}

begin();
