// Times a step beside its own kernels. The tests add it to a page, behind measure.js.
"use strict";

/**
 * Milliseconds of a step, from the first write of the host until the device is done, and of its launches, each by itself,
 * repeated in one pass until that takes `sampleMs`; medians. Steps are taken in between, since a machine is not equally fast
 * all the time. Kernels that run again and again leave the weights broken.
 */
async function stepBesideKernels(trainer, sampleMs) {
  const { device, replay } = trainer, { launches } = replay.recording, clock = new Clock(device), same = new Map();
  launches.forEach(({ kernel, params, grid }, i) => {
    const key = [kernel, params, ...grid].join();
    same.set(key, [...(same.get(key) ?? []), i]); // these differ in their buffers alone
  });
  trainer.readLosses = async () => 0; // they need not be finite
  const steps = [], rule = { sample_ms: [sampleMs, sampleMs], repeats: 10000 };
  const step = async () => {
    const began = performance.now();
    await trainer.step();
    await replay.done();
    steps.push(performance.now() - began);
  };
  await step(); // the first one is slow
  steps.pop();
  let [kernelsMs, at] = [0, 0];
  for (const list of same.values()) {
    if (at++ % Math.ceil(same.size / 5) === 0) await step();
    const calls = [replay.calls[list[0]]], repeats = await clock.warm(calls, rule), samples = [];
    for (let i = 0; i < 3; i++) {
      const { deviceMs, wallMs } = await clock.time(calls, repeats);
      samples.push((deviceMs || wallMs) / repeats);
    }
    kernelsMs += list.length * spreadOf(samples).median;
  }
  await step();
  return { step_ms: spreadOf(steps).median, steps, kernels_ms: kernelsMs, launches: launches.length, distinct: same.size };
}
