// The live view of the machines, asked for every second.

import { element } from "./mrkdwn.js";

const TONES = ["#8a6d3b", "#1f7a8c", "#1d7f55", "#6a4c93", "#b5592b"];
const SYSTEM = /^(kube-|etcd|coredns|calico|cilium|flannel|local-path|metrics-server)/;

const release = (version) => (version.match(/\d+/g) ?? []).map(Number);

function older(left, right) {
  const [a, b] = [release(left), release(right)];
  const index = [0, 1, 2].find((place) => a[place] !== b[place]) ?? 0;
  return (a[index] ?? 0) - (b[index] ?? 0);
}

// A version keeps its colour for as long as the page is open.
const tones = new Map();

function toneOf(version) {
  if (!tones.has(version)) tones.set(version, TONES[tones.size % TONES.length]);
  return tones.get(version);
}

export function drawMachines({ title, machines, controls }, press) {
  document.getElementById("machines-title").textContent = title || "Machines";
  const versions = [...new Set(machines.map((one) => one.kubelet))].sort(older);
  versions.forEach(toneOf);
  drawSummary(machines, versions);
  document.getElementById("machine-list").replaceChildren(...machines.map(drawMachine));
  document.getElementById("controls").replaceChildren(...controls.map((one) => element("button", {
    type: "button", class: one.on ? "on" : "", "data-testid": `control-${one.name}`,
    "aria-pressed": one.on === null ? null : String(one.on), onclick: () => press(one.name),
  }, one.label)));
}

function drawSummary(machines, versions) {
  document.getElementById("summary").replaceChildren(...versions.reverse().map((version) => {
    const count = machines.filter((one) => one.kubelet === version).length;
    const part = element("div", { title: `${count} × ${version}` }, `${count} × ${version}`);
    part.style.flexGrow = count;
    part.style.background = toneOf(version);
    return part;
  }));
}

function drawMachine(one) {
  const badge = (kind, text) => element("span", { class: `badge ${kind}` }, text);
  const busy = one.doing || one.draining;
  const node = element("li", { class: `machine ${busy ? "busy" : ""}`, "data-testid": `machine-${one.name}` },
    element("header", {}, element("b", {}, one.name), element("span", { class: "role" }, one.role),
      element("span", { class: "version", title: "kubelet" }, one.kubelet)),
    element("div", { class: "row" },
      one.apiserver ? badge("api", `api ${one.apiserver}`) : null,
      one.ready === false ? badge("down", "not ready") : null,
      one.draining ? badge("draining", "draining") : one.cordoned ? badge("cordoned", "cordoned") : null,
      one.doing ? element("span", { class: "doing" }, one.doing) : null),
    element("div", { class: "pods" }, (one.pods ?? []).map(drawPod)));
  node.style.setProperty("--tone", toneOf(one.kubelet));
  return node;
}

function drawPod(pod) {
  const { name, phase = "Running", terminating = false } = typeof pod === "string" ? { name: pod } : pod;
  const short = name.split("/").pop();
  const kind = terminating ? "going" : phase === "Pending" ? "pending" : SYSTEM.test(short) ? "system" : "";
  return element("span", { class: `pod ${kind}`, title: name });
}
