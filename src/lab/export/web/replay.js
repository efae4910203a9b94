// Replays a recording (the JSON of `tape::Recording`, with its kernels in their place) on the visitor's GPU. Plain
// JavaScript, shared by all pages that `wgslab export` writes. Whatever a browser or a device cannot do is an Error whose
// message is one sentence for people.
"use strict";

/** The bytes of a data block of the page: base64 of gzip. */
async function unpack(id) {
  // Uint8Array.from would make a list of one-letter strings first, and a page of 200 MB would have no memory for it.
  const text = atob(document.getElementById(id).textContent), packed = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) packed[i] = text.charCodeAt(i);
  const plain = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(plain).arrayBuffer());
}

/**
 * Opens the best adapter with at least these limits, or those that a function of its info gives. `optional` features are
 * taken where offered. Returns { device, adapter, info, lost }: info is { name, fallback, lanes }, and lost is a promise of
 * a sentence.
 */
async function openDevice({ limits: asked = {}, optional = [] } = {}) {
  if (!navigator.gpu) {
    throw new Error(isSecureContext
      ? "This browser has no WebGPU: use a current Chrome, Edge, Firefox or Safari, and switch WebGPU on if it is off."
      : "Browsers offer WebGPU only to pages from https, from localhost or from a file: open this page in one of these ways.");
  }
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) throw new Error("This browser has WebGPU but found no adapter: its GPU or driver may be on a block list.");
  const about = adapter.info || {};
  const named = [about.description, about.device, about.architecture, about.vendor].filter(Boolean);
  const info = {
    name: [...new Set(named)].join(", ") || "an adapter that the browser does not name",
    fallback: Boolean(about.isFallbackAdapter ?? adapter.isFallbackAdapter) || /swiftshader|llvmpipe|warp/i.test(named.join(" ")),
    lanes: about.subgroupMinSize === about.subgroupMaxSize ? about.subgroupMaxSize : undefined, // of every subgroup
  };
  const limits = typeof asked === "function" ? asked(info) : asked;
  const small = Object.entries(limits).find(([name, value]) => value > adapter.limits[name]);
  if (small) {
    throw new Error(`This adapter (${info.name}) is too small for these kernels: ${small[0]} is `
      + `${adapter.limits[small[0]]} and must be ${small[1]}.`);
  }
  const requiredFeatures = optional.filter((f) => adapter.features.has(f));
  const device = await adapter.requestDevice({ requiredLimits: limits, requiredFeatures }).catch((e) => {
    throw new Error(`The device of this adapter (${info.name}) could not be opened: ${e.message}.`);
  });
  const lost = device.lost.then(({ reason, message }) => {
    device.gone = reason === "destroyed" ? "The device was closed."
      : `The device was lost (${message || "the browser does not say why"}): reload the page to begin anew.`;
    return device.gone;
  });
  return { device, adapter, info, lost };
}

/** Runs `work`, which awaits nothing, and turns the device's errors in it, of memory or of its rules, into an Error. */
async function guarded(device, what, work) {
  for (const kind of ["internal", "validation", "out-of-memory"]) device.pushErrorScope(kind);
  let thrown, made;
  try { made = work(); } catch (e) { thrown = e; }
  const [memory, wrong, internal] = await Promise.all([0, 1, 2].map(() => device.popErrorScope()));
  if (device.gone) throw new Error(device.gone);
  if (memory) throw new Error(`The device has too little memory for ${what}: close other pages, or take a smaller step.`);
  if (wrong || internal) throw new Error(`The browser refused ${what}: ${(wrong || internal).message}`);
  if (thrown) throw thrown;
  return made;
}

/** Adds launches to a compute pass. */
function encodeCalls(pass, calls) {
  for (const { pipeline, group, grid } of calls) {
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(...grid);
  }
}

/**
 * A recording bound to a device. Its states are found in `states`, a Map of name to { buffer, offset, size } that Replays
 * may share: build the one that updates states before those that only read them.
 */
class Replay {
  constructor(device, recording, states = new Map()) {
    if (recording.schema !== "wgslab-recording/2") throw new Error(`This page cannot replay the form ${recording.schema}.`);
    Object.assign(this, { device, recording, states, calls: [], own: [] });
  }

  /** Makes buffers, pipelines and bind groups. Calls onProgress(done, all) as pipelines are compiled. */
  async build(onProgress = () => {}) {
    const { device, recording: r } = this;
    await guarded(device, "the buffers of this step", () => {
      this.#allocate();
      const params = r.buffers.findIndex((b) => b.role === "params");
      this.blocks = params < 0 ? null : this.#params(this.buffers[params].buffer, r.buffers[params].bytes);
    });
    const layouts = r.kernels.map((k) => this.#layout(k));
    let done = 0;
    const compiled = await Promise.allSettled(r.kernels.map(async (k, i) => {
      const what = `the kernel ${k.name} [${k.variant}]`;
      const module = await guarded(device, what, () => device.createShaderModule({ label: k.name, code: k.wgsl }));
      const layout = device.createPipelineLayout({ bindGroupLayouts: [layouts[i]] });
      const made = device.createComputePipelineAsync({ label: k.name, layout, compute: { module, entryPoint: "main" } });
      const pipeline = await made.catch((e) => { throw new Error(`The browser could not compile ${what}: ${e.message}`); });
      onProgress(++done, r.kernels.length);
      return pipeline;
    }));
    const failed = compiled.find((one) => one.reason);
    if (failed) throw device.gone ? new Error(device.gone) : failed.reason;
    await guarded(device, "the bindings of this step", () => {
      this.calls = r.launches.map((call, i) =>
        ({ pipeline: compiled[call.kernel].value, group: this.#group(call, i, layouts), grid: call.grid }));
    });
    return this;
  }

  /** Makes the buffers, and says of each, as of each part of one, where it lies: `buffers` holds { buffer, offset, size }. */
  #allocate() {
    const r = this.recording, single = new Set(r.states.map((s) => s.buffer));
    const known = r.buffers.map(({ name }, i) => single.has(i) ? this.states.get(name) : undefined);
    this.buffers = r.buffers.map(({ role, name, bytes, part_of }, i) => {
      if (known[i] || part_of) return known[i];
      // Where another Replay holds a part of it, it is that one's buffer.
      const held = known[r.buffers.findIndex((b, at) => b.part_of?.buffer === i && known[at])];
      return { buffer: held ? held.buffer : this.#buffer(role, name, bytes), offset: 0, size: bytes };
    });
    r.buffers.forEach(({ name, bytes, part_of }, i) => {
      if (part_of) {
        const at = { buffer: this.buffers[part_of.buffer].buffer, offset: part_of.offset, size: bytes };
        const is = this.buffers[i] ||= at;
        if (is.buffer !== at.buffer || is.offset !== at.offset || is.buffer.size < at.offset + at.size) {
          throw new Error(`${name} lies elsewhere already: build the step that updates it first.`);
        }
      }
      if (single.has(i)) this.states.set(name, this.buffers[i]);
    });
  }

  #buffer(role, label, size) {
    const { UNIFORM, STORAGE, COPY_SRC, COPY_DST } = GPUBufferUsage;
    const usage = (role === "params" ? UNIFORM : STORAGE) | COPY_SRC | COPY_DST;
    const buffer = this.device.createBuffer({ label, size, usage });
    if (role !== "state") this.own.push(buffer);
    return buffer;
  }

  /** Writes the parameters of all launches, each at the next multiple of 256 bytes. Returns where each lies. */
  #params(buffer, bytes) {
    const all = new Uint8Array(bytes), at = [];
    let next = 0;
    for (const { params } of this.recording.launches) {
      at.push(next);
      for (let i = 0; i < params.length; i += 2) all[next + i / 2] = parseInt(params.slice(i, i + 2), 16);
      next += Math.ceil(params.length / 2 / 256) * 256;
    }
    this.device.queue.writeBuffer(buffer, 0, all);
    return { buffer, at };
  }

  #layout({ layout }) {
    const visibility = GPUShaderStage.COMPUTE;
    const entries = layout.buffers.map((access, i) =>
      ({ binding: i + 1, visibility, buffer: { type: access === "read" ? "read-only-storage" : "storage" } }));
    if (layout.params_bytes) entries.unshift({ binding: 0, visibility, buffer: { type: "uniform" } });
    return this.device.createBindGroupLayout({ entries });
  }

  #group(call, i, layouts) {
    const size = this.recording.kernels[call.kernel].layout.params_bytes;
    const entries = call.buffers.map((b, at) => ({ binding: at + 1, resource: this.buffers[b] }));
    if (size) entries.unshift({ binding: 0, resource: { buffer: this.blocks.buffer, offset: this.blocks.at[i], size } });
    return this.device.createBindGroup({ label: call.label, layout: layouts[call.kernel], entries });
  }

  #named(lists, name) {
    const found = lists.flatMap((list) => this.recording[list]).find((one) => one.name === name);
    if (!found) throw new Error(`The recording has no ${lists.join(" or ")} called ${name}.`);
    return found;
  }

  /** Writes the values of an input or a state, whole words. */
  write(name, values) {
    const at = this.buffers[this.#named(["inputs", "states"], name).buffer];
    if (values.byteLength > at.size) throw new Error(`${name} was given too many bytes.`);
    this.device.queue.writeBuffer(at.buffer, at.offset, values);
  }

  /** Writes the scalars. All that the recording names must be given; others are left out. */
  scalars(values) {
    const at = this.recording.buffers.findIndex((b) => b.role === "scalars");
    if (at < 0) return;
    const lacks = this.recording.scalars.find((name) => !(name in values));
    if (lacks) throw new Error(`The recording needs the scalar ${lacks}.`);
    this.device.queue.writeBuffer(this.buffers[at].buffer, 0, Float32Array.from(this.recording.scalars, (name) => values[name]));
  }

  /** Runs all launches `times` in one pass and one submit. It returns before the device is done. */
  run(times = 1) {
    if (this.device.gone) throw new Error(this.device.gone);
    const encoder = this.device.createCommandEncoder(), pass = encoder.beginComputePass();
    for (let i = 0; i < times; i++) encodeCalls(pass, this.calls);
    pass.end();
    this.device.queue.submit([encoder.finish()]);
  }

  /** Waits until the device is done with all that was submitted. */
  async done() {
    await this.device.queue.onSubmittedWorkDone();
    if (this.device.gone) throw new Error(this.device.gone);
  }

  /** The bytes of an output or a state. */
  async read(name) {
    const { ty, buffer } = this.#named(["outputs", "states"], name);
    const each = { f32: 4, u32: 4, f16: 2 }[ty.dtype.toLowerCase()];
    const bytes = ty.shape.reduce((n, d) => n * d, each), size = Math.ceil(bytes / 4) * 4;
    const staging = this.device.createBuffer({ size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
    const encoder = this.device.createCommandEncoder(), at = this.buffers[buffer];
    encoder.copyBufferToBuffer(at.buffer, at.offset, staging, 0, size);
    this.device.queue.submit([encoder.finish()]);
    try {
      await staging.mapAsync(GPUMapMode.READ);
      return staging.getMappedRange().slice(0, bytes);
    } catch (e) {
      throw new Error(this.device.gone || `${name} could not be read: ${e.message}`);
    } finally {
      staging.destroy();
    }
  }

  /** Frees the buffers, except states, which other Replays may use. */
  destroy() {
    this.own.splice(0).forEach((buffer) => buffer.destroy());
  }
}
